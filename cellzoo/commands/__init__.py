"""Subcommands of the cell package."""
