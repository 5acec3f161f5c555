"""Subcommands of `cellzoo` that search cells."""
