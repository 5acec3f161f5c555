"""How cells are found: spaces, supernets, methods, and what a candidate is scored on."""
