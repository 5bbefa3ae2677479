"""The CI that runs Lineal: what its environment says about the commit, and what Lineal gives it back.

`provider` has the protocol of a CI and the table of those that are known; everything peculiar to one is in its folder
(`github`, `gitlab`) or module (`local`), reading and writing. `context` is what they all answer."""
