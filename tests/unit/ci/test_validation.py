from __future__ import annotations

import pytest

from lineal.ci import validation
from lineal.errors import BadConfiguration


def test_versions_sort_as_people_count() -> None:
    tags = ["latest", "v1.9", "v1.10-rc1", "v1.10", "v1.10.1", "v2.0.0-rc1", "v2.0.0-rc2", "v2.0.0"]
    assert sorted(set(tags), key=validation.version_order) == tags


def test_ids_are_full_hex_in_lower_case() -> None:
    assert validation.commit_id("ABCDEF" + "0" * 34, "x") == "abcdef" + "0" * 34
    assert validation.commit_id("a" * 64, "x") == "a" * 64
    for bad in ("a" * 41, "a" * 39, "g" * 40, "", None, b"a" * 40, "a" * 40 + "\n", "\u0661" * 40):
        with pytest.raises(BadConfiguration):
            validation.commit_id(bad, "x")


def test_names_with_emoji_and_spaces_of_other_scripts_are_names() -> None:
    for name in ("fix/👩\u200d💻", "機能", "a-b_c.d"):
        assert validation.ref_name(name, "x") == name
