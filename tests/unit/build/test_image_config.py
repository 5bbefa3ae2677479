from __future__ import annotations

from typing import Any

import pytest

from lineal.build.image_config import taken_over
from lineal.oci.image import encode, image_of
from lineal.oci.types import OCI_LAYER_GZIP, Descriptor

PATH = {"Env": ["PATH=/bin"]}


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (None, [("pulled from base:1", False)] * 2),
        ([], [("pulled from base:1", False)] * 2),
        ([{"created_by": "a"}], [("a", False), ("pulled from base:1", False)]),
        (
            [{"created_by": "a"}, {"created_by": "e", "empty_layer": True}],
            [("a", False), ("e", True), ("pulled from base:1", False)],
        ),
        ([{"created_by": name} for name in "abc"], [("a", False), ("b", False), ("c", True)]),
    ],
)
def test_each_layer_of_a_base_has_its_entry_of_the_history(history: Any, expected: list[tuple[str, bool]]) -> None:
    layers = [Descriptor(OCI_LAYER_GZIP, f"sha256:{number:064}", 1) for number in range(2)]
    taken = taken_over(image_of({"config": PATH, "history": history}, layers), "base:1")
    assert isinstance(taken, dict)
    assert [(entry["created_by"], entry.get("empty_layer", False)) for entry in taken["history"]] == expected


def test_a_base_that_lacks_nothing_is_taken_over_byte_by_byte() -> None:
    config = {"config": PATH, "history": [{"created_by": "a"}, {"created_by": "b", "empty_layer": True}]}
    base = image_of(encode(config) + b" ", [Descriptor(OCI_LAYER_GZIP, f"sha256:{0:064}", 1)])
    assert taken_over(base, "base:1") == base.config
