"""Deleting on GitHub, whose registry refuses it.

`packages` asks the API, `versions` decides what goes with a stage."""
