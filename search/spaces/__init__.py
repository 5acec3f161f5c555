"""Search spaces, one file each. `space.py` is the interface."""
