"""Recurrent layers as models need them beyond `CellRNN`, and the dropouts that models share."""
