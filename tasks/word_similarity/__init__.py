"""Word similarity: do word vectors put words close to each other that people find alike?

`pairs.py` scores word pairs with word vectors, `correlation.py` compares with people's scores,
`skip_gram.py` is the baseline, `probe.py` the kind of probe made of these.
"""
