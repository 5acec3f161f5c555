"""Cells made of steps, which the notations of DARTS, I-DARTS, DARTS-EGS, ENAS and ESS have in common."""
