"""A search from its request to `found.toml`: one directory, events, checkpoints, resume."""
