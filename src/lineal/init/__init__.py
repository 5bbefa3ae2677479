"""A first `lineal.yaml`: what a repository's own files say about its images and its release, and what is guessed."""
