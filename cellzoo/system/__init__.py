"""Helpers independent of cells: atomic files, paths, streams, plug-ins, properties of the machine."""
