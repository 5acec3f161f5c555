"""Search, retrain and test in one go, as run records."""
