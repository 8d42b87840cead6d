"""People who come and go: enrolled faces in an encrypted database."""
