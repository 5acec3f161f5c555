"""Tuning: the same random configurations for every cell, drawn from a space that is data."""
