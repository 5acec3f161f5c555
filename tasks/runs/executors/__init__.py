"""Ways of doing runs: one after another, or several at a time."""
