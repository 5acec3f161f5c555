"""Networks whose weights are shared by all cells of a space."""
