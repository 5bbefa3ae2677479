"""Running helm, and understanding what it says."""
