"""Finished images: what a person pulls, in its final repositories and under its tags (DESIGN §2)."""
