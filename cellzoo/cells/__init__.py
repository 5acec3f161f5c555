"""Cells: the graph, its validation, canonical form and hash."""
