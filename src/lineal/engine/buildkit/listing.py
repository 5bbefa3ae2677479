"""What an image has become, listed on the daemon: its directories, links and accounts, without reading a layer here.

A small program (`lister/`) runs in a container of the daemon, with the tree mounted to be read only."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from importlib.resources import files

from lineal.engine import Tree
from lineal.engine.buildkit.llb import NOTHING, Graph, Output
from lineal.engine.buildkit.protocol import ops_pb2
from lineal.errors import Unreachable

FILE = "list"
"""The name of the list in what `add` makes."""
LARGEST = 256 << 20
"""Bytes of a list; an index of an image has less."""
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_HEAD = struct.Struct("<cLLLLL")


def can_list(architecture: str) -> bool:
    """Whether there is a program for this processor."""
    return architecture in _MACHINES


def add(graph: Graph, tree: Output, architecture: str) -> Output:
    """An operation that lists a tree into the file `FILE`."""
    program = (files("lineal.engine.buildkit") / "lister" / _MACHINES[architecture]).read_bytes()
    mkfile = ops_pb2.FileActionMkFile(path="/lister", mode=0o755, data=program, timestamp=0)
    root = graph.file(None, [ops_pb2.FileAction(mkfile=mkfile)])
    operation = ops_pb2.ExecOp(
        meta=ops_pb2.Meta(args=["/lister", "/tree", f"/{FILE}"], cwd="/", removeMountStubsRecursive=True),
        mounts=[
            ops_pb2.Mount(input=0, dest="/", output=0),
            ops_pb2.Mount(input=1, dest="/tree", output=NOTHING, readonly=True, contentCache=ops_pb2.OFF),
        ],
        network=ops_pb2.NONE,
    )
    return graph.execute(operation, (root, tree), "list the directories")


def parse(data: bytes) -> Tree:
    """The tree that a list tells of. Raises `Unreachable` for one that is cut short."""
    tree = Tree({}, {})
    accounts = {"etc/passwd": b"", "etc/group": b""}
    for kind, owner, path, content in _records(data):
        if kind == b"d":
            tree.directories[path] = owner
        elif kind == b"l":
            tree.symlinks[path] = os.fsdecode(content)
        elif path in accounts:
            accounts[path] = content
    return Tree(tree.directories, tree.symlinks, accounts["etc/passwd"], accounts["etc/group"])


def _records(data: bytes) -> Iterator[tuple[bytes, tuple[int, int, int], str, bytes]]:
    position = 0
    while data[position : position + 1] != b".":
        if position + _HEAD.size > len(data):
            raise Unreachable("The buildkitd listed an image in part only.", id="LN-5003", remedy="Run again.")
        kind, mode, uid, gid, length, size = _HEAD.unpack_from(data, position)
        position += _HEAD.size
        path = os.fsdecode(data[position : position + length])
        yield kind, (mode, uid, gid), path, data[position + length : position + length + size]
        position += length + size
