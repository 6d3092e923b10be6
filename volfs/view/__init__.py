"""Volumes seen as files."""
