"""Whole commands: a training, its report, a comparison."""
