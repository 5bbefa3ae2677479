"""The harness itself: it sees each kind of difference and each fault of a layer."""

from __future__ import annotations

from typing import Any

import pytest

from tests.differential.compare import differences, faults
from tests.differential.declared import archive
from tests.differential.image import Image

BASE: dict[str, Any] = {
    "d/": {"mode": "0o711"},
    "d/f": {"text": "x"},
    "l": {"link": "d/f"},
    "h": {"hardlink": "d/f"},
    "n": {"device": "c 1 3"},
}
CONFIG: dict[str, Any] = {"os": "linux", "config": {"Env": ["A=1", "B=2"], "Cmd": ["x"]}, "created": "2020"}


def image(*layers: dict[str, Any], **config: Any) -> Image:
    return Image(CONFIG | config, [archive(layer) for layer in layers])


OTHERS = {
    "a mode": ({**BASE, "d/": {"mode": "0o755"}}, "file /d", "mode is 0755, BuildKit's is 0711"),
    "an owner": ({**BASE, "d/f": {"text": "x", "uid": 7}}, "file /d/f", "uid is 7, BuildKit's is 0"),
    "a group": ({**BASE, "l": {"link": "d/f", "gid": 7}}, "file /l", "gid is 7, BuildKit's is 0"),
    "a content": ({**BASE, "d/f": {"text": "y"}}, "file /d/f", "content is b'y', BuildKit's is b'x'"),
    "a target": ({**BASE, "l": {"link": "/d/f"}}, "file /l", "link is /d/f, BuildKit's is d/f"),
    "a device": ({**BASE, "n": {"device": "c 1 5"}}, "file /n", "device is (1, 5), BuildKit's is (1, 3)"),
    "a type": ({**BASE, "n": {"fifo": True}}, "file /n", "type is fifo, BuildKit's is char device"),
    "a hard link": (
        {**BASE, "h": {"text": "x"}},
        "file /d/f",
        "hard links: d/f, h are one file for BuildKit only",
    ),
    "one more": ({**BASE, "m": {}}, "file /m", "is a file of ours, BuildKit has none"),
    "one less": (
        {k: v for k, v in BASE.items() if k != "n"},
        "file /n",
        "is missing, BuildKit has a char device 0644",
    ),
    "attributes": (
        {**BASE, "d/f": {"text": "x", "xattrs": {"user.a": "eA=="}}},
        "file /d/f",
        "xattrs is (('user.a', b'x'),), BuildKit's is ()",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_difference_of_files_is_seen(name: str) -> None:
    files, where, what = OTHERS[name]
    assert (where, what) in differences(image(files), image(BASE))


def test_how_files_are_spread_over_layers_is_no_difference() -> None:
    upper = {"d/": {"mode": "0o711"}, "d/.wh.gone": {}, "d/f": {"text": "x"}, "h": {"hardlink": "d/f"}}
    lower = {**BASE, "d/gone/": {}, "d/gone/x": {}, "d/f": {"text": "old"}}
    assert differences(image(lower, upper), image(BASE)) == []


def test_an_opaque_directory_hides_only_what_is_below_it() -> None:
    lower = {**BASE, "d/": {"mode": "0o700"}, "d/old": {}}
    upper = {"d/f": {"text": "x"}, "h": {"hardlink": "d/f"}, "d/": {"mode": "0o711"}, "d/.wh..wh..opq": {}}
    assert differences(image(lower, upper), image(BASE)) == []


def test_an_opaque_directory_that_is_not_written_again_stays() -> None:
    upper = {"d/f": {"text": "x"}, "h": {"hardlink": "d/f"}, "d/.wh..wh..opq": {}}
    assert differences(image({**BASE, "d/old": {}}, upper), image(BASE)) == []


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"config": {"Env": ["B=2", "A=1"], "Cmd": ["x"]}}, "config.Env"),
        ({"config": {"Env": ["A=1", "B=2"]}}, "config.Cmd"),
        ({"config": {**CONFIG["config"], "User": "7"}}, "config.User"),
        ({"os": "plan9"}, "os"),
        ({"history": [{"created_by": "ENV A=1", "empty_layer": True}]}, "history"),
    ],
)
def test_a_difference_of_configs_is_seen(config: dict[str, Any], where: str) -> None:
    assert [found for found, _ in differences(image(BASE, **config), image(BASE))] == [where]


def test_times_and_wording_are_no_difference() -> None:
    ours = [{"created": "1980", "created_by": "RUN make"}]
    theirs = [{"created_by": "ARG A=1"}, {"created": "2026", "created_by": "RUN |1 A=1 /bin/sh -c make # buildkit"}]
    assert differences(image(BASE, created="1980", history=ours), image(BASE, history=theirs)) == []


FAULTS: dict[str, list[dict[str, Any]]] = {
    "d/f has no parent here or below": [{"d/f": {}}],
    "d/f stands before its parent": [{"d/f": {}, "d/": {}}],
    "f is there 2 times": [{"f": {}, "x/": {}, "x/../f": {}}],
    "'./f' is no plain name": [{"./f": {}}],
    "h is a hard link to f, which does not stand before it": [{"h": {"hardlink": "f"}, "f": {}}],
    ".wh.gone hides what is not there": [{".wh.gone": {}}],
    ".wh.f and f are both there": [{"f": {}}, {".wh.f": {}, "f": {}}],
    "d/.wh..wh..opq hides a directory that is not there": [{"d/": {}, "d/.wh..wh..opq": {}}],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_layer_is_seen(fault: str) -> None:
    layers = FAULTS[fault]
    assert f"layer {len(layers) - 1}: {fault}" in faults(image(*layers))


def test_a_history_that_does_not_fit_the_layers_is_a_fault() -> None:
    history = [{"created_by": "a"}, {"created_by": "b"}, {"created_by": "c", "empty_layer": True}]
    assert faults(image(BASE, history=history)) == ["the history has 2 layers, the image 1"]
    assert faults(image(BASE, {"m": {}}, history=history)) == []
