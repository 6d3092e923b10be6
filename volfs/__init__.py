"""volfs keeps container volumes and shows them as files."""

__version__ = "0.1.0"
