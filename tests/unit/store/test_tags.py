"""Stage tags: what is written is read back, and nothing else is a stage tag."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.store.tags import anchor_tag, is_checksum, parse_stage_tag, stage_tag

CHECKSUM = "0123456789abcdef" * 4
checksums = st.text("0123456789abcdef", min_size=64, max_size=64)


@given(checksums, st.integers(0, 10**13 - 1))
def test_a_stage_tag_is_read_back(checksum: str, ms: int) -> None:
    tag = stage_tag(checksum, ms)
    assert len(tag) == 78
    assert parse_stage_tag(tag) == (checksum, ms)
    assert tag.startswith(anchor_tag(checksum))


@given(checksums, st.integers(0, 10**13 - 1), st.integers(0, 10**13 - 1))
def test_tags_sort_as_their_times_do(checksum: str, one: int, other: int) -> None:
    assert (stage_tag(checksum, one) < stage_tag(checksum, other)) == (one < other)


@given(st.text())
def test_any_other_text_is_no_stage_tag(text: str) -> None:
    parsed = parse_stage_tag(text)
    assert parsed is None or stage_tag(*parsed) == text


@pytest.mark.parametrize(
    "tag",
    [
        CHECKSUM,
        f"{CHECKSUM}-123456789012",
        f"{CHECKSUM}-12345678901234",
        f"{CHECKSUM}-1234567890123\n",
        f"{CHECKSUM}-١٢٣٤٥٦٧٨٩٠١٢٣",
        f"{CHECKSUM.upper()}-1234567890123",
        f"{CHECKSUM[1:]}-1234567890123",
        f"x{CHECKSUM}-1234567890123",
        "latest",
        "",
    ],
)
def test_what_only_looks_like_a_stage_tag(tag: str) -> None:
    assert parse_stage_tag(tag) is None


@pytest.mark.parametrize("checksum", ["", CHECKSUM.upper(), CHECKSUM[1:], CHECKSUM + "\n", f"sha256:{CHECKSUM}"])
def test_what_is_no_checksum_names_nothing(checksum: str) -> None:
    with pytest.raises(ValueError, match="64 lower-case hex digits"):
        anchor_tag(checksum)
    with pytest.raises(ValueError, match="64 lower-case hex digits"):
        stage_tag(checksum, 1)


@pytest.mark.parametrize("ms", [-1, 10**13])
def test_a_time_that_does_not_fit(ms: int) -> None:
    with pytest.raises(ValueError, match="13 digits"):
        stage_tag(CHECKSUM, ms)


@pytest.mark.parametrize("text", ["", "a" * 63, "A" * 64, "a" * 64 + "\n", "g" * 64, "a" * 64 + "-1700000000000"])
def test_only_64_hex_digits_are_a_checksum(text: str) -> None:
    assert is_checksum("0123456789abcdef" * 4)
    assert not is_checksum(text)
