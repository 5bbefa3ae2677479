"""Where containerd keeps a container's files, and when that is not used."""

from __future__ import annotations

import gzip
import json
import os
import struct
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lineal.engine.docker.client import Client, Refused
from lineal.engine.docker.engine import DockerEngine
from lineal.engine.docker.resources import Removals, RunResources
from lineal.engine.docker.snapshots import Snapshots, number
from lineal.oci.types import OCI_LAYER_GZIP, Descriptor

from .conftest import Bench, entries_of, parent_id, regular, tar_of

ID = "0123456789abcdef" * 4
ACTIVE, COMMITTED = b"\x02", b"\x03"


def record(name: str, number: int, kind: bytes, *, root: int = 0) -> bytes:
    """As bbolt has a snapshot in a page: its name, then a bucket with its fields in the order of their keys."""
    digits = [number >> shift & 0x7F for shift in range(0, 63, 7) if number >> shift] or [0]
    value = bytes(digit | 0x80 for digit in digits[:-1]) + bytes(digits[-1:])
    fields = {b"createdat": b"\1" + bytes(14), b"id": value, b"kind": kind, b"parent": b"moby/1/sha256:0"}
    elements, texts, offset = b"", b"", 16 * len(fields)
    for index, (key, text) in enumerate(fields.items()):
        elements += struct.pack("<IIII", 0, offset - 16 * index, len(key), len(text))
        texts += key + text
        offset += len(key + text)
    head = struct.pack("<QQQHHI", root, 0, 0, 2, len(fields), 0)
    return b"moby/17/" + name.encode() + head + elements + texts


def test_a_record_gives_the_number() -> None:
    data = record(f"{ID}-init", 299, COMMITTED) + b"\0" * 9 + record(ID, 300, ACTIVE) + record("f" * 64, 301, ACTIVE)
    assert number(data, ID, ACTIVE) == 300
    assert number(data, f"{ID}-init", COMMITTED) == 299


def test_the_same_record_may_be_there_twice_but_not_another_one() -> None:
    data = record(ID, 300, ACTIVE)
    assert number(data * 2, ID, ACTIVE) == 300
    assert number(data + record(ID, 301, ACTIVE), ID, ACTIVE) is None


@pytest.mark.parametrize(
    "data",
    [
        b"", record(ID, 3, COMMITTED), record(f"{ID}-init", 3, ACTIVE), record(f"{ID}0", 3, ACTIVE),
        # Its name in a branch of the tree, as a value, in a page of its own, at the end.
        b"moby/17/" + ID.encode() + b"moby/18/" + b"f" * 64 + record("f" * 64, 3, ACTIVE)[72:],
        record(ID, 3, ACTIVE, root=7), record(ID, 3, ACTIVE)[:90],
    ],
)  # fmt: skip
def test_what_is_no_such_record_gives_nothing(data: bytes) -> None:
    assert number(data, ID, ACTIVE) is None


@pytest.mark.hypothesis
@example(struct.pack("<QQQHHI", 0, 0, 0, 2, 65535, 0))
@given(st.binary(max_size=300))
def test_any_bytes_give_a_number_or_none(data: bytes) -> None:
    assert number(b"moby/1/" + ID.encode() + data, ID, ACTIVE) is None or b"kind" in data


@pytest.fixture
def containerd(client: Client) -> Client:
    if not client.in_containerd():
        pytest.skip("this engine has an image store of its own (`make test-engines` tries both)")
    return client


@pytest.mark.engine
def test_the_directories_are_the_container_s_own(containerd: Client, bench: Bench) -> None:
    bench.run("true")
    image = parent_id(containerd, bench.base)
    removals = Removals()
    with RunResources(containerd, bench.engine.id, removals) as resources:
        snapshots = Snapshots(containerd, resources)
        names = [resources.container({"Image": image, "Cmd": ["-"]}, "create") for _ in range(3)]
        found = {}
        for name in names:
            id = containerd.json("GET", f"/containers/{name}/json", "look")["Id"]
            found[name] = cast(tuple[str, str], snapshots.directories(id, image))
        assert len({path for both in found.values() for path in both}) == 6
        assert snapshots.directories("0" * 64, image) is None
        for name, (upper, init) in found.items():
            containerd.put(name, "/", iter([tar_of(regular(name, b"x"))]), "put a file")
            assert [one.name for one in Path(upper).iterdir()] == [name]
            assert (Path(init) / ".dockerenv").exists()
    removals.join()


class Watched(Client):
    """Notes how layers are read; `refuse` and `setting` make an engine of which less can be told."""

    def __init__(self, *args: Any, ways: list[str], refuse: str = "", setting: bytes | None = None) -> None:
        self.ways, self.refuse, self.setting = ways, refuse, setting
        super().__init__(*args)

    def call(self, method: str, path: str, what: str, **options: Any) -> Any:
        if self.refuse and self.refuse in str(options.get("body")):
            raise Refused(400, "bind source path does not exist", what, self.host)
        return super().call(method, path, what, **options)

    @contextmanager
    def reader(self, path: str, what: str, params: Mapping[str, str] | None = None) -> Iterator[BufferedReader]:
        self.ways.append(what)
        with super().reader(path, what, params) as stream:
            if what == "read a setting" and self.setting is not None:
                yield BufferedReader(BytesIO(stream.read(512) + self.setting))
            else:
                yield stream


@pytest.mark.engine
@pytest.mark.parametrize(
    ("changes", "way"),
    [
        ({}, "read a layer"),
        ({"refuse": "metadata.db"}, "save an image"),
        ({"setting": b"Y\n"}, "save an image"),
        ({"setting": b""}, "save an image"),
    ],
    ids=["plain", "containerd's data is elsewhere", "an overlay that leaves contents below", "no setting is told"],
)
def test_an_upper_directory_is_read_where_it_is_found_and_has_all(
    containerd: Client, bench: Bench, changes: dict[str, Any], way: str
) -> None:
    ways: list[str] = []
    bench.engine = DockerEngine(connect=partial(Watched, ways=ways, **changes))
    assert sorted(entries_of(bench.run("echo x >/data/a; rm /data/b"))) == ["data", "data/.wh.b", "data/a"]
    assert {"read a layer", "save an image"} & set(ways) == {way}


@pytest.mark.engine
def test_commands_at_once_have_each_their_own_layer(bench: Bench) -> None:
    """While others' containers come and go in the database that is read."""

    def name(number: int) -> list[str]:
        command = bench.command(f"echo x >/data/{number}")
        layer = bench.engine.run(bench.base, bench.store, command, lambda _: None, bench.workspace)
        return sorted(entries_of(layer))

    count = int(os.environ.get("LINEAL_COMMANDS_AT_ONCE", "12"))
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(name, range(count)))
    assert found == [["data", f"data/{number}"] for number in range(count)]


@pytest.mark.engine
def test_a_prune_between_two_commands_costs_no_more_than_time(containerd: Client, bench: Bench) -> None:
    ways: list[str] = []
    bench.engine = DockerEngine(connect=partial(Watched, ways=ways))
    for turn in range(3):
        assert sorted(entries_of(bench.run("echo x >/data/a"))) == ["data", "data/a"]
        if turn == 0:
            filters = {"filters": json.dumps({"label": [f"dev.lineal.run={bench.engine.id}"]})}
            containerd.call("POST", "/containers/prune", "prune", params=filters)
    assert [way for way in ways if way in ("read a layer", "save an image")] == [
        "read a layer", "save an image", "read a layer",
    ]  # fmt: skip


@pytest.mark.engine
def test_a_layer_is_read_by_commit_where_the_engine_has_the_parent_unpacked_only(bench: Bench) -> None:
    bench.run("true")
    again = [gzip.compress(tar, 9, mtime=1) for tar in map(gzip.decompress, _packed(bench))]
    descriptors = tuple(Descriptor(OCI_LAYER_GZIP, bench.store.add(data), len(data)) for data in again)
    parent = bench.store._image(descriptors, bench.base.diff_ids, {})
    bench.engine = DockerEngine(upper=False)
    assert sorted(entries_of(bench.run("echo x >/data/a", parent=parent))) == ["data", "data/a"]


def _packed(bench: Bench) -> list[bytes]:
    return [bench.store.blobs[layer.digest] for layer in bench.base.layers]
