"""A service of model files over HTTP, and the page of a model."""
