"""Tags of a layout: each reader sees all that were written, and other tools do when the run has ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.errors import Unreachable
from lineal.oci.types import OCI_MANIFEST, Manifest
from lineal.store import layout_index
from lineal.store.layout_index import LayoutIndex, name_of

MANIFESTS = [
    Manifest(json.dumps({"mediaType": OCI_MANIFEST, "layers": [], "n": n}).encode(), OCI_MANIFEST) for n in range(4)
]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_index, "_FEW", 2)


def made(folder: Path) -> LayoutIndex:
    index = LayoutIndex(folder / "index.json")
    index.create()
    return index


def seen_by_others(folder: Path) -> dict[str | None, str]:
    return {name_of(entry): entry["digest"] for entry in json.loads((folder / "index.json").read_text())["manifests"]}


def seen(folder: Path) -> dict[str, str | None]:
    reader = LayoutIndex(folder / "index.json")
    return {tag: reader.digest(tag) for tag in reader.tags("")}


def added(folder: Path) -> Path:
    (file,) = folder.glob(".lineal-tags-*")
    return file


def many(folder: Path, tags: int) -> LayoutIndex:
    index = made(folder)
    for number in range(tags):
        index.point(MANIFESTS[0], f"tag-{number:04}")
    return index


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("point"), st.integers(0, 2), st.integers(0, 3), st.integers(0, 30)),
        st.tuples(st.just("remove"), st.integers(0, 2), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("fold"), st.integers(0, 2), st.just(0), st.just(0)),
        st.tuples(st.just("killed"), st.integers(0, 2), st.just(0), st.integers(1, 80)),
    ),
    max_size=60,
)


@given(STEPS)
def test_all_who_have_it_open_see_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("layout")
    made(folder)
    openers = [LayoutIndex(folder / "index.json") for _ in range(3)]
    expected: dict[str, str] = {}
    for what, opener, manifest, number in steps:
        if what == "point":
            openers[opener].point(MANIFESTS[manifest], f"tag-{number}")
            expected[f"tag-{number}"] = MANIFESTS[manifest].digest
        elif what == "remove":
            openers[opener].remove(MANIFESTS[manifest].digest)
            expected = {tag: digest for tag, digest in expected.items() if digest != MANIFESTS[manifest].digest}
        elif what == "fold":
            openers[opener].fold()
            assert seen_by_others(folder) == expected
        else:
            # In the middle of a line.
            for file in folder.glob(".lineal-tags-*"):
                with file.open("ab") as out:
                    out.write(b'{"mediaType": "application/vnd.oci.image.index.v1+json", "digest": "sha256:'[:number])
        for index in openers:
            assert {tag: index.digest(tag) for tag in index.tags("")} == expected
    assert seen(folder) == expected


def test_the_index_is_not_written_for_each_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, written = made(tmp_path), list[int]()
    write = LayoutIndex._write

    def counted(self: LayoutIndex, entries: list[layout_index.Entry]) -> None:
        written.append(len(entries))
        write(self, entries)

    monkeypatch.setattr(LayoutIndex, "_write", counted)
    sums = []
    for number in range(4000):
        index.point(MANIFESTS[0], f"tag-{number:04}")
        if number in (999, 1999, 3999):
            sums.append(sum(written))
    # Twice the tags, twice the work; written for each tag it would be four times.
    assert sums[1] < 2.5 * sums[0]
    assert sums[2] < 2.5 * sums[1]
    assert sums[2] < 12 * 4000


def test_only_the_tags_with_a_prefix_are_walked(tmp_path: Path) -> None:
    index = many(tmp_path, 50)
    assert index.tags("tag-001") == [f"tag-{number:04}" for number in range(10, 20)]
    assert index.tags("tag-0042") == ["tag-0042"]
    assert index.tags("z") == index.tags("a") == []


def test_others_see_all_tags_when_the_run_has_ended(tmp_path: Path) -> None:
    index = many(tmp_path, 50)
    assert len(seen_by_others(tmp_path)) < 50
    index.fold()
    assert len(seen_by_others(tmp_path)) == 50
    assert not list(tmp_path.glob(".lineal-tags-*"))


def test_added_tags_of_an_index_that_is_gone_do_not_come_back(tmp_path: Path) -> None:
    index = many(tmp_path, 50)
    file, kept = added(tmp_path), added(tmp_path).read_bytes()
    index.remove(MANIFESTS[0].digest)
    file.write_bytes(kept)
    assert seen(tmp_path) == {}


def test_added_tags_that_others_delete_are_written_again(tmp_path: Path) -> None:
    index = many(tmp_path, 50)
    assert len(index.tags("")) == 50
    added(tmp_path).unlink()
    index.point(MANIFESTS[1], "one")
    assert len(seen(tmp_path)) == 51


@pytest.mark.parametrize("line", ["[]", "{}", '{"digest": "../x"}', '{"digest": "sha256:' + "0" * 64 + '"}', "\xff"])
def test_a_line_that_makes_no_sense_is_named(tmp_path: Path, line: str) -> None:
    many(tmp_path, 50)
    added(tmp_path).write_text(f"{line}\n", encoding="latin-1")
    with pytest.raises(Unreachable, match=r"\.lineal-tags-[0-9a-f]{32} is not the index of an OCI Image Layout"):
        seen(tmp_path)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", 3, "A" * 32])
def test_the_name_of_added_tags_is_never_a_path(tmp_path: Path, name: object) -> None:
    document = {"schemaVersion": 2, "manifests": [], "annotations": {"dev.lineal.tags": name}}
    (tmp_path / "index.json").write_text(json.dumps(document))
    index = LayoutIndex(tmp_path / "index.json")
    index.point(MANIFESTS[0], "one")
    assert seen_by_others(tmp_path) == {"one": MANIFESTS[0].digest}
