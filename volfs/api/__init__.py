"""Volumes seen by programs: HTTP over Unix sockets."""
