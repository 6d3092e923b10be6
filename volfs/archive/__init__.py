"""Volumes as one tar stream: written for `volfs export`, read and judged for `volfs import`."""
