"""One run: the flags that it was given, the settings that follow from them, and the things that it opens.

`Options` are flags alone, `Settings` add variables, `lineal.yaml` and defaults, each value with its origin. A
`Session` opens the clone, the store, the lock and history when they are first asked for, and closes them in order."""
