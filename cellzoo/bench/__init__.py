"""Times cells side by side: engines against the loop that people write, torch's layers, and bare products.

`case` says what is timed, `entrants` builds what races, `race` takes the times in turns, `figures` makes
medians of paired ratios of them, `table` and `report` show them.
"""
