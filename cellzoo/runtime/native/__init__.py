"""The native engine: a small C++ library that runs a whole sequence from its plan, on a CPU."""
