"""Plumbing: atomic files, the machine, durations, optional packages."""
