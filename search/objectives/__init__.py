"""What a search is scored on, one file each. `objective.py` is the contract."""
