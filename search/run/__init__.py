"""A search as a run: the request, its jobs, the cell file, and the training of found cells."""
