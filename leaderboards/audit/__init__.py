"""Tests the statistics of boards on simulated results, for which the true values are known."""
