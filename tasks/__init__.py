"""What a cell is evaluated on: tasks, their data, and the runs that make records."""
