"""What a layer is, and how long it takes on a device."""
