"""Numbers that describe cells: words of their graphs, vectors learned from them, pools of such cells."""
