"""The command line: `main.py`, the contract of a subcommand, and the subcommands of this package."""
