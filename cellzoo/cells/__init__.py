"""What a cell is: a graph, its check, its canonical form and its hash."""
