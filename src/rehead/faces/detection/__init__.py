"""Where faces are in a photo, and how good each is."""
