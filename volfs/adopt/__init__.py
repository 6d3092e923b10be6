"""A Docker data root becomes a volfs root, in place."""
