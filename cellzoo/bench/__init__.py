"""Times cells side by side: engines against the loop that people write, torch's layers, and bare products.

`case` says what is timed, `cell_case` builds the candidates of a cell, `turns` takes the times in turns,
`figures` makes medians of paired ratios of them, `table` and `report` show them.
"""
