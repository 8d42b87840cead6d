"""Photos to a model in the browser: classes, photos, training, export, in an ordinary folder."""
