"""Benchmarks of cells: engines compared with a plain Python loop, torch's layers, and bare matrix products.

`case` defines what is timed and the shapes; `cells` builds the candidates of a cell, with the baselines in
`loop`, `others` and `products`; `run` measures times and memory; `show` prints results and writes them to a
file; `figures` and `chart` make tables and a chart of such files.
"""
