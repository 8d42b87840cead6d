"""Pretrained networks: their weights, their graphs, and the features of photos."""
