"""Times cells side by side: engines against the loop that people write, torch's layers, and bare products.

`case` says what is timed and at which shapes, `cells` builds the candidates of a cell, of which `loop` and
`products` are baselines; `run` takes the times in turns and measures memory, `show` prints and writes them.
"""
