"""The git repository that is built: facts, objects, history, and the files of a commit as people mean them.

`Repository` is one git directory at one commit. `Commit` adds Git LFS and submodules to it. `Objects` reads objects
with dulwich, and asks the `git` binary for everything that dulwich cannot read. `GitHistory` answers questions about
ancestors and trees. The modules here know nothing of Dockerfiles, stores or CI systems. None of them writes to the
user's repository: the commit of `--dev` and the history that a shallow clone lacks go to directories of Lineal's own.
The one exception are objects that a partial clone left at its remote: git puts them into the clone, as it does for
its own commands.
"""
