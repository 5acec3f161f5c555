"""The statistics of a board: intervals, simultaneous comparisons, ranks.

The result of a cell on a task varies for two reasons: the seeds of its trainings and the items of the test set.
So there are two kinds of intervals:

* *this test set*: what would other trainings of this cell give on these items? Only seeds vary.
* *new test sets*: what would other trainings give on other items of the same kind? Seeds and items vary.

`items` recomputes a metric from its items and returns the contribution of each item; `seeds` summarises the
runs of one cell; `families` compares all cells simultaneously; `ranks` turns comparisons into ranges of ranks;
`winner` shrinks the best of several means and computes the smallest detectable difference; `models` compares
two trained models.
"""
