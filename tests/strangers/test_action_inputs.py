"""Lists in the action's inputs: their lines end where an editor ends them, and what is between is kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lineal.cli.action import masks, read
from lineal.config.secrets import SecretValues
from lineal.session.settings import Settings
from tests.conftest import Lineal
from tests.servers import Repository

ENDS = ["\u2028", "\u2029", "\x85", "\f", "\v", "\x1c", "\x1d", "\x1e", "\r"]
"""What `str.splitlines` takes for the end of a line, and people do not."""


def secret(text: str) -> dict[str, bytes]:
    """The secrets of the input `secrets`, as a RUN gets them."""
    environ = read({"INPUT_SECRETS": text}).environ
    pairs = [line.removeprefix("id=").split(",env=") for line in environ["LINEAL_SECRET"].split("\n")]
    return {name: os.fsencode(environ[variable]) for name, variable in pairs}


@pytest.mark.parametrize("end", ENDS)
def test_a_secret_is_kept_byte_for_byte(end: str) -> None:
    value = f"a{end}b"
    assert secret(f"k={value}\nother=1") == {"k": value.encode(), "other": b"1"}
    assert secret(f'"k={value}"\n') == {"k": value.encode()}
    assert secret(f'k={{"text":"{value}"}}') == {"k": f'{{"text":"{value}"}}'.encode()}
    assert secret(f'"k={end}{value}{end}"') == {"k": f"{end}{value}{end}".encode()}


@pytest.mark.parametrize("end", [end for end in ENDS if end != "\r"])
def test_such_a_character_at_the_end_of_a_password_is_a_part_of_it(end: str) -> None:
    assert secret(f"k=x{end}\nl=y{end}") == {"k": f"x{end}".encode(), "l": f"y{end}".encode()}


def test_line_ends_between_quotes_are_kept_as_they_are() -> None:
    assert secret('"k=one\r\ntwo\r\n"\r\nl=3\r\n') == {"k": b"one\r\ntwo\r\n", "l": b"3"}
    assert secret('"k=one\ntwo\r\n\n  three "') == {"k": b"one\ntwo\r\n\n  three "}
    assert secret('"k=""one""\n""two"""\n  l=a"b  ') == {"k": b'"one"\n"two"', "l": b'a"b'}
    assert secret('"k="\n\t"l=\n"') == {"k": b"", "l": b"\n"}


def test_bytes_that_are_no_text_are_kept() -> None:
    assert secret(os.fsdecode(b"k=\xff\xfe\x00".rstrip(b"\0"))) == {"k": b"\xff\xfe"}


@pytest.mark.parametrize("end", ENDS)
def test_a_secret_with_such_a_character_is_masked_whole_and_in_parts(end: str) -> None:
    hidden = masks({"INPUT_SECRETS": f"k=first-half{end}second-half"})
    assert {"first-half", "second-half"} <= set(hidden)
    assert end == "\r" or f"first-half{end}second-half" in hidden
    values = SecretValues({}, [], {}, Path())
    values.hide([f"first-half{end}second-half"])
    for said in (f"first-half{end}second-half", "first-half", "second-half"):
        assert "half" not in values.mask(f"it is {said}.")


@pytest.mark.parametrize("end", ENDS)
def test_the_other_lists_end_their_lines_in_the_same_places(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    call = read(
        {"INPUT_VARS": f"a=1{end}2\r\nb=3\n", "INPUT_VALUES": f"x{end}y.yaml\n z.yaml \n", "INPUT_SET": f"k=a{end}b"}
    )
    for name in ("LINEAL_VAR", "LINEAL_VALUES", "LINEAL_SET"):
        monkeypatch.setenv(name, call.environ[name])
    settings = Settings.of()
    assert settings.vars.value == {"a": f"1{end}2", "b": "3"}
    assert settings.values.value == (f"x{end}y.yaml", "z.yaml")
    assert settings.sets.value == (f"k=a{end}b",)


def test_a_matrix_s_entry_of_several_images_builds_them_all(repo: Repository, lineal: Lineal, tmp_path: Path) -> None:
    lineal.env["LINEAL_REPO"] = f"layout:{tmp_path}/store"
    images = "project: p\nimages: {a: {args: {N: '1'}}, b: {args: {N: '2'}}, c: {args: {N: '3'}}}\n"
    repo.write({"lineal.yaml": images, "Dockerfile": "FROM scratch\nARG N\nLABEL n=$N\nCOPY Dockerfile /\n"})
    built = lineal("build", "a b")
    assert [line.split()[0] for line in built.stdout.splitlines()] == ["a", "b"]
    assert read({"INPUT_COMMAND": "build", "INPUT_IMAGES": "a b"}).arguments == ["build", "--", "a", "b"]
    assert lineal("build", "").code == 3
