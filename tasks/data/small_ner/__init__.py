"""A small English corpus for named-entity recognition, written by this project.

It is synthetic: a grammar (`grammar`) over invented names (`names`) is expanded by a seeded generator
(`generate`). It shows that a tagger learns and lets cells be compared in seconds without a download; its
numbers say nothing about real text.

What makes it more than a look-up: most names can be of several kinds, and half of the names in dev and
test never occur in train, so that the kind must be taken from the sentence; what tells often stands many
words away; some sentences are in lower case, some with capitals throughout; many capitalised words are no
names.
"""
