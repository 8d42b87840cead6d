"""Pretrained weights: what there is, where it comes from, and how it is read.

`registry` says which weights there are, `resolve` brings a file that is verified, `torchfile` reads it.
"""
