"""Everything that is peculiar to GitHub Actions, reading and writing."""
