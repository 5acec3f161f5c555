"""What a cell is judged on: tasks, their data, and the runner that makes run records."""
