"""The numbers of a board in other forms: JSON, CSV, LaTeX, Parquet, and what other leaderboards read."""
