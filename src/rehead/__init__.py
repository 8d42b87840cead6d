"""rehead gives a pretrained network a new head."""
