"""NAS-Bench-NLP as a table: every number of its logs, clocks that say what knowing it would have cost.

    from search.benchmark.table import Table

    table = Table.read(Path("nas-bench-nlp.npz"))
    found = table.find("1007537")
    table.score(found, split="valid", epoch=50)

`logs.py` reads the published files, `build.py` makes the one file of them, `table.py` answers questions,
`clock.py` says what a training cost, `session.py` trains to an epoch and goes on later, `outside.py` answers
for cells that were never trained, `simulate.py` lets samplers work on it, `regret.py` compares them.
"""
