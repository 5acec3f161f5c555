"""The statistics of a board on simulated results, where the truth is known."""
