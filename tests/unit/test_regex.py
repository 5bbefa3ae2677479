"""Patterns that are compiled late are what `re.compile` gives."""

from __future__ import annotations

import re

import pytest

from lineal.regex import regex

WORDS = ["", "a1", "A1", "b\n", "xa1y"]


@pytest.mark.parametrize("flags", [0, re.IGNORECASE | re.ASCII])
def test_it_finds_what_a_compiled_pattern_finds(flags: int) -> None:
    text = r"([a-z])(\d)?"
    late, now = regex(text, flags), re.compile(text, flags)
    for word in WORDS * 2:
        assert [late.findall(word), late.split(word)] == [now.findall(word), now.split(word)]
        for method in ("match", "fullmatch", "search"):
            found, wanted = getattr(late, method)(word), getattr(now, method)(word)
            assert (found and found.groups()) == (wanted and wanted.groups())
    assert late.sub("-", "xa1") == now.sub("-", "xa1") and late.groups == 2
    assert (late.pattern, regex(rb"\d").findall(b"12")) == (now.pattern, [b"1", b"2"])


def test_it_is_compiled_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, real = [], re.compile

    def compile(pattern: str, flags: int = 0) -> re.Pattern[str]:
        compiled.append(pattern)
        return real(pattern, flags)

    monkeypatch.setattr(re, "compile", compile)
    late = regex("a+")
    assert late.pattern == "a+" and compiled == []
    assert [bool(late.match(text)) for text in "ab"] == [True, False] and compiled == ["a+"]
    with pytest.raises(re.error):
        regex("(").match("")
