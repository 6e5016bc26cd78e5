"""Which of several networks to run: per device, per input."""
