"""How stages are deleted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

import pytest

from lineal.cleanup.removal import removal_of
from lineal.cleanup.retention import Deletion
from lineal.store import layout_index
from lineal.store.layout import Layout
from tests.unit.build.factory import Told
from tests.unit.store.conftest import manifest_of


def test_the_index_of_a_directory_is_written_once_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Layout(tmp_path)
    stages = {f"{number}": manifest_of(store, f'{{"a": {number}}}') for number in range(4)}
    for tag, manifest in stages.items():
        store.put_manifest(manifest, tag)
    written: list[Path] = []
    replacing = layout_index.replacing

    def counted(file: Path) -> AbstractContextManager[IO[bytes]]:
        written.append(file)
        return replacing(file)

    monkeypatch.setattr(layout_index, "replacing", counted)
    deletions = [Deletion(tag, {manifest.digest: (tag,)}) for tag, manifest in stages.items() if tag != "3"]
    with ThreadPoolExecutor() as pool:
        gone = list(removal_of(store, (), {}, pool, Told()).delete(deletions))
    assert gone == deletions and store.tags() == ["3"]
    assert written == [tmp_path / "index.json"]
