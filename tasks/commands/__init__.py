"""Subcommands of the tasks package."""
