"""Pretrained weights: what there is, where it comes from, and how it is read.

`registry` lists the weights, `locate` finds or downloads a file and verifies it, `torch_checkpoint` reads it.
"""
