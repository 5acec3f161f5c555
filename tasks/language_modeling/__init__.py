"""Language modelling: predict each word of a text from the words before it.

`problem.py` is the kind of problem with `settings.py`, both light to import; `modeling.py` is the problem,
`text.py` the words, `streams.py` cuts them into batches, `model.py` is the network around a recurrent layer,
`evaluate.py` measures it.
"""
