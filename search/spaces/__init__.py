"""What can be found, one file a space. `space.py` is the contract."""
