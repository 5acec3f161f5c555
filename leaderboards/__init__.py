"""Leaderboards: turns run records into tables, pages and files for other programs."""
