"""`--chmod`: what BuildKit's own parser (tonistiigi/dchapes-mode) made of these, and laws that hold for all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.context.chmod import Chmod

MODES = st.integers(0, 0o7777)
CLASSES = st.text("ugoa", max_size=2)
ACTIONS = st.lists(
    st.tuples(st.sampled_from("+-="), st.text("rwxX", max_size=3)).map("".join), min_size=1, max_size=2
)
SYMBOLIC = st.lists(st.tuples(CLASSES, ACTIONS.map("".join)).map("".join), min_size=1, max_size=3).map(",".join)


@pytest.mark.parametrize(
    ("mode", "directory", "text", "result"),
    [
        (0o644, False, "u=rwX,go=rX", 0o644),
        (0o755, True, "u=rwX,go=rX", 0o755),
        (0o640, False, "u=rwX,go=rX", 0o644),
        (0o744, False, "a+rX", 0o755),
        (0o600, False, "+x", 0o711),
        (0o6755, False, "-s", 0o755),
        (0o644, False, "+rt", 0o1644),
        (0o4755, False, "u=rw", 0o655),
        (0o1777, True, "o=", 0o1770),
        (0o640, False, "g=u", 0o660),
        (0o604, False, "ug=o,o=", 0o440),
        (0o755, False, "go-X", 0o744),
        (0o421, False, "=X", 0o111),
        (0o100, False, "=Xu", 0o111),
        (0o777, False, "u=g-w", 0o577),
        (0o644, True, "+X", 0o755),
        (0o2755, True, "g-s,o+t", 0o755),
        (0o0, False, "a=r,ug=rw,u+x", 0o764),
        (0o770, False, "go=u-w", 0o755),
    ],
)
def test_symbolic_modes_are_buildkit_s(mode: int, directory: bool, text: str, result: int) -> None:
    assert oct(Chmod(text).apply(mode, directory=directory)) == oct(result)


@given(MODES, st.booleans(), MODES)
def test_an_octal_mode_is_the_mode(before: int, directory: bool, wanted: int) -> None:
    mode = Chmod(f"{wanted:o}")
    assert mode.apply(before, directory=directory) == wanted
    assert mode.parents == wanted & 0o777


@given(SYMBOLIC, MODES, st.booleans())
def test_a_mode_without_s_and_t_touches_permissions_of_its_classes_only(
    text: str, before: int, directory: bool
) -> None:
    after = Chmod(text).apply(before, directory=directory)
    named = {name for clause in text.split(",") for name in clause.split("+")[0].split("-")[0].split("=")[0]}
    whole = "a" in named or any(clause[0] in "+-=" for clause in text.split(","))
    for name, bits in (("u", 0o700), ("g", 0o070), ("o", 0o007)):
        if name not in named and not whole:
            assert after & bits == before & bits
    assert after & 0o1000 == before & 0o1000, "the sticky bit is named with t alone"


@pytest.mark.parametrize("text", ["u=rw,go=r", "a+x", "go-rwx", "u+s", "ug=rwX,o=", "u+x,g-w"])
def test_ordinary_modes_are_those_of_the_command_chmod(text: str, tmp_path: Path) -> None:
    for before in (0o644, 0o755, 0o600, 0o777, 0o111):
        place = tmp_path / f"{before:o}"
        place.touch()
        place.chmod(before)
        subprocess.run(["chmod", text, place], check=True)
        assert oct(Chmod(text).apply(before, directory=False)) == oct(place.stat().st_mode & 0o7777)


@pytest.mark.parametrize("text", ["", "u", "+q", "u=rw,", ",", "u+x g+x", "10000", "8", "-1", "0x1", "u=rwx;", "rwx"])
def test_what_is_no_mode_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither an octal mode"):
        Chmod(text)
