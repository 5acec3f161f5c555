"""Supernets: networks with weights that are shared by all cells of a space."""
