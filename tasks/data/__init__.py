"""Where data sets come from, how they are read and checked."""
