"""Features of cells: words of their graphs, vectors learned from the words, and pools of cells with vectors."""
