"""Times cells side by side: engines against the loop that people write, torch's layers, and bare products.

`case` says what is timed and at which shapes, `cells` builds the candidates of a cell, of which `loop`,
`others` and `products` are baselines; `run` takes the times in turns and measures memory; `show` prints and
writes them; `figures` and `chart` make tables and a picture of what was written.
"""
