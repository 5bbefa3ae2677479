"""Lineal: container images along the line of git history."""

__version__ = "0.1.0"
