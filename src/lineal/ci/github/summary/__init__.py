"""The job summary of GitHub: a page of Markdown."""
