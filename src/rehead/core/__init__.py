"""What every room stands on: files, arrays on disk, sessions, the model file, the run directory, options."""
