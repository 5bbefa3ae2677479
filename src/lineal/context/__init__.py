"""The files that a build copies or mounts: trees of files, and the choice of files in them.

`tree.SourceTree` is the protocol of a tree. `build_context.BuildContext` is a directory of the commit without the
files that its `.dockerignore` excludes (`dockerignore`). `remote_source` reads the URL of an ADD, and `git_source`
makes a tree of the git repository behind one. `artifacts` are files of the working tree that stand in contexts beside
those of the commit, and `awaited` finds the ones that an instruction needs and that are not there. `glob` finds the
paths that a source pattern matches, `path_filter` applies `--exclude` and `--parents`, and `chmod` reads `--chmod`.
`committed` reads single files of the commit, `uncommitted` finds the changes of the working tree that the commit
lacks, and `checkout` writes a directory of the commit to disk for tools that read files. `missing_source` says why a
source is in none of them, with `spelling` for paths that differ in case.

The modules read a commit through `lineal.git`. They know no Dockerfile, store or engine."""
