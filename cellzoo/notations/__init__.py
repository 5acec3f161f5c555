"""Notations: text to Cell and back, one file a notation."""
