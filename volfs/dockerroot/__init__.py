"""A Docker data root as a source: what its files say, read without writing a byte."""
