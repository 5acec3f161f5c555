"""Language modelling with one recurrent cell, in the manner of the DARTS experiments.

`model.py` is the network, `streams.py` cuts text into batches, `train.py` fits a model, `evaluate.py` measures
it, `checkpoint.py` lets a killed training go on, `word_vectors.py` is the file that a trained model leaves
behind. `news.py` is the task made of these.
"""
