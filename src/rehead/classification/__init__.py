"""Classes of photos: a linear head on a frozen network, its model file, and answers from it."""
