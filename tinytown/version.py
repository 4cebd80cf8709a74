"""The version, as a constant: reading package metadata costs more than the whole of `tt status`."""

__version__ = "0.1.0"
