"""Energy per layer of whole networks on a Raspberry Pi: how well it is predicted for networks that were held out."""
