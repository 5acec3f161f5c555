"""Word similarity: do the cosines of word vectors agree with human similarity ratings?

`pairs.py` scores word pairs with word vectors, `correlation.py` correlates the scores with human ratings,
`skip_gram.py` is the baseline, and `probe.py` defines the probe kind.
"""
