"""NAS-Bench-NLP as a table: every number of its logs, and clocks for the training time that it took.

    from search.benchmark.table import Table

    table = Table.read(Path("nas-bench-nlp.npz"))
    found = table.find("1007537")
    table.score(found, split="valid", epoch=50)

`logs.py` reads the published files, `build.py` combines them into one file, `table.py` answers queries,
`clock.py` gives training times, `session.py` simulates trainings, `outside.py` estimates scores of cells that
were never trained, `simulate.py` runs samplers in simulated time, and `regret.py` compares them.
"""
