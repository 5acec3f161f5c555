"""What the numbers of a board mean: estimands, intervals, families of comparisons, ranks.

A cell's number on a task has two sources of chance: the seeds of its trainings and the items of the test set.
So there are two questions, and each interval says which one it answers:

* *this test set*: what would other trainings of this cell give on these items? Chance comes from seeds alone.
* *new test sets*: what would other trainings give on other items of the same kind? Seeds and items.

`items` recomputes a metric from its items and gives each item's contribution; `seeds` sums up the runs of one
cell; `families` compares cells, all at once; `ranks` turns comparisons into ranges of ranks; `winner` shrinks
the best of several and says what difference could be found; `models` compares two trained models.
"""
