"""The native engine: a small C++ library that runs the plan of a cell over whole sequences, on CPUs."""
