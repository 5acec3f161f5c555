"""What DARTS, I-DARTS, DARTS-EGS, ENAS and ESS have in common: cells made of steps."""
