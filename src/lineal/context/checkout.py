"""A directory of the commit as files on disk, for tools that read files (helm)."""

from __future__ import annotations

from pathlib import Path

from lineal.context.build_context import BuildContext
from lineal.context.dockerignore import Ignore
from lineal.context.glob import follow
from lineal.context.listing import Listing
from lineal.context.tree import Node
from lineal.errors import BadConfiguration, Location
from lineal.git.commit import Commit
from lineal.git.submodules import check_names


def check_out(repository: Commit, folder: str, destination: Path) -> bool:
    """Write a directory of the commit (`.` for all of it) to `destination`; False when the commit has none.

    Links are written as what they point at in the commit, and other links are refused: whoever reads the files
    meets no file of the machine instead (a chart with a link to /proc/self/environ). Raises `BadConfiguration`."""
    listing = repository.listing([folder])
    if any(mode in ("120000", "160000") for _, mode, _ in listing):
        listing = repository.listing()
    check_names(listing)
    tree = BuildContext(repository, "", Listing(listing), Ignore.none())
    node = tree.names().lstat("" if folder in ("", ".") else folder)
    if node is None or node.kind != "directory":
        return False
    _write(tree, node, destination, inside=(), linked=False)
    return True


def _write(tree: BuildContext, node: Node, place: Path, *, inside: tuple[str, ...], linked: bool) -> None:
    """`inside`: the directories that are being written; `linked`: whether one of them was reached by a link."""
    if node.kind == "symlink":
        link, node = node, _target(tree, node)
        if node.kind == "directory":
            # A few links that lead to each other could otherwise become any number of files.
            if linked or any(path == node.path or path.startswith(node.path + "/") for path in inside):
                raise _refused(link, "leads to a directory that is already being followed")
            linked = True
    if node.kind == "file":
        with place.open("xb") as file:
            file.writelines(tree.open(node))
        place.chmod(node.mode)
        return
    place.mkdir(parents=True)
    for name in tree.children(node.path):
        child = tree.names().lstat(f"{node.path}/{name}" if node.path else name)
        assert child is not None
        _write(tree, child, place / name, inside=(*inside, node.path), linked=linked)


def _target(tree: BuildContext, link: Node) -> Node:
    target = None if link.target.startswith("/") else follow(tree.names(), link.path)
    if target is None:
        raise _refused(link, "leads to no file of this commit")
    return target


def _refused(link: Node, why: str) -> BadConfiguration:
    return BadConfiguration(
        f"is a symbolic link that {why}.",
        id="LN-2011",
        place=Location(link.path),
        remedy="Commit the files themselves instead.",
    )
