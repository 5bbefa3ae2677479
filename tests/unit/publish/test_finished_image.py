from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from lineal.oci.image import image_of
from lineal.oci.types import OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor
from lineal.publish.finished_image import finished_image
from lineal.store.record import Record

COMMIT, OTHER, TREE = "1" * 40, "2" * 40, "3" * 40
CREATED = 1_795_889_761_131
LAYER = Descriptor(OCI_LAYER_GZIP, "sha256:" + "a" * 64, 7)
STAGE = image_of({"architecture": "amd64", "os": "linux", "config": {"Labels": {"a": "b"}}}, [LAYER]).manifest
RECORD = Record("c" * 64, (COMMIT,), TREE, "main", CREATED, "", "shop", "1")
PAGE = "https://github.com/acme/shop"
KEYS = "org.opencontainers.image."


def test_it_is_a_plain_manifest_with_the_stage_s_config_and_layers() -> None:
    made = finished_image(STAGE, RECORD, "api", PAGE, {})
    assert made.media_type == OCI_MANIFEST == made.json["mediaType"]
    assert (made.json["config"], made.json["layers"]) == (STAGE.json["config"], STAGE.json["layers"])
    assert made.json["annotations"] == {
        KEYS + "created": "2026-11-28T18:16:01Z",
        KEYS + "revision": COMMIT,
        KEYS + "source": PAGE,
        KEYS + "title": "api",
        KEYS + "url": PAGE,
    }
    assert b"dev.lineal" not in made.data


def test_annotations_of_the_configuration_win_and_an_empty_one_leaves_out() -> None:
    given = {KEYS + "title": "Shop API", KEYS + "url": "", KEYS + "licenses": "Apache-2.0", "x": ""}
    found = finished_image(STAGE, RECORD, "api", None, given).json["annotations"]
    assert found[KEYS + "title"] == "Shop API"
    assert found[KEYS + "licenses"] == "Apache-2.0"
    assert found.keys().isdisjoint({KEYS + "url", KEYS + "source", "x"})


def test_a_version_is_that_of_the_tag_it_was_first_built_for() -> None:
    for branch, version in (("v1.2.3", "1.2.3"), ("main", None), ("v1", None), ("", None)):
        found = finished_image(STAGE, replace(RECORD, branch=branch), "api", None, {}).json["annotations"]
        assert found.get(KEYS + "version") == version


def test_the_revision_of_a_merge_is_the_request_s_own_commit() -> None:
    found = finished_image(STAGE, replace(RECORD, commits=(COMMIT, OTHER)), "api", None, {}).json["annotations"]
    assert found[KEYS + "revision"] == OTHER


@given(st.dictionaries(st.text(), st.text(), max_size=5))
def test_the_same_stage_and_configuration_are_the_same_digest(given: dict[str, str]) -> None:
    turned = dict(reversed(list(given.items())))
    assert finished_image(STAGE, RECORD, "api", PAGE, given) == finished_image(STAGE, RECORD, "api", PAGE, turned)
