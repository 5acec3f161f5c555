"""Language modelling: predict each word of a text from the words before it.

`problem.py` defines the problem kind and `settings.py` its settings, both without heavy imports. `modeling.py`
is the problem, `text.py` reads the text, `streams.py` cuts it into batches, `model.py` is the network around a
recurrent layer, and `evaluate.py` computes the losses.
"""
