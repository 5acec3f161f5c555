"""Named suites: TOML files that list tasks and their settings."""
