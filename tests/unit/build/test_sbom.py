"""The documents of a scanner, whatever is in its layer."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from lineal.build.sbom import documents
from lineal.errors import BuildFailed
from lineal.oci.types import OCI_LAYER, Blob, Descriptor
from lineal.store.layout import Layout

SPDX = {"spdxVersion": "SPDX-2.3", "name": "x"}
STATEMENT = {"predicateType": "https://spdx.dev/Document/v2.3", "predicate": SPDX}


def layer(folder: Path, files: dict[str, bytes | None]) -> tuple[Layout, Descriptor]:
    """A store with a layer of these files; None is a link."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data or b"")
            if data is None:
                entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(entry, io.BytesIO(data or b""))
    store, blob = Layout(folder / "store", "layout:store"), Blob.of(made.getvalue())
    store.put_blob(blob)
    return store, Descriptor(OCI_LAYER, blob.digest, blob.size)


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_documents_stand_alone_or_in_statements(tmp_path: Path) -> None:
    other = {"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"}
    files = {
        "run/out/b.spdx.json": text(STATEMENT), "./run/out/a.spdx.json": text(other), "run/out/log": b"x",
        "root/c.spdx.json": b"x", "run/out/link.spdx.json": None,
    }  # fmt: skip
    assert sorted(map(str, documents(*layer(tmp_path, files)))) == sorted(map(str, [other, SPDX]))


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"predicateType": "https://cyclonedx.org/bom", "predicate": {}}', b"\xff", b"[" * 100_000,
     text({**STATEMENT, "predicate": "SPDX-2.3"}), text({"spdxVersion": 2})],
)  # fmt: skip
def test_what_is_no_document_is_named(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(BuildFailed, match=r"/run/out/a\.spdx\.json, which is no SPDX"):
        documents(*layer(tmp_path, {"run/out/a.spdx.json": data}))


def test_more_than_a_few_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="more than 16 documents"):
        documents(*layer(tmp_path, {f"run/out/{n}.spdx.json": text(SPDX) for n in range(17)}))
