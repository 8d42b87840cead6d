"""How good face recognition is, on pairs and on open sets."""
