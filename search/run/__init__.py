"""A search as a run: what is asked for, its job, the cell that it leaves, and what follows it."""
