"""Whether two faces are one person, and how sure that is."""
