"""Training any problem: one trainer, one checkpoint, one set of settings."""
