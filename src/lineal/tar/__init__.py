"""Tar archives, read and written: layers, contexts, what an engine sends."""
