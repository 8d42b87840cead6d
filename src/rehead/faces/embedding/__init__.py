"""A face becomes a vector of length 1."""
