"""What git says: objects, history, submodules and LFS files of the repository."""
