"""How architectures are searched for, one file a method. `method.py` is the contract."""
