"""Where a secret of a `RUN` could leave a run: its log, errors, and the layer in every place that holds text."""

from __future__ import annotations

import io
import struct
import tarfile

import pytest

from lineal.config.secrets import Mask
from lineal.engine.docker.engine import lines
from lineal.engine.layer import LayerExclusions, LayerTar
from lineal.engine.log_lines import _LINE
from lineal.engine.secret_parts import parts
from lineal.errors import BadConfiguration, BuildFailed, Unreachable
from tests.unit.build.factory import Factory
from tests.unit.build.test_stage_builder import build, command, factory  # noqa: F401 (a fixture)
from tests.unit.engine.test_layer import node, tar

SECRET = "Tr0ub4dor&3-correct-horse"
NPMRC = (
    b"registry=https://registry.example.org/\nstrict-ssl=false\n"
    b"//registry.example.org/:_authToken=npm_0123456789abcdef\n"
)
PEM = (
    b"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nAQC7VJTUt9Us8cKjsecondline0000\n"
    b"-----END PRIVATE KEY-----\n"
)
BUNDLE = b"-----BEGIN CERTIFICATE-----\nMIIBcertificate0123456789\n-----END CERTIFICATE-----\n" + PEM


@pytest.mark.parametrize(
    "said",
    [
        "login Tr0ub4dor\x1b[31m&3-correct-horse\x1b[0m",
        "Tr0ub4dor\0&3-correct-horse",
        "Tr0ub4dor&3\x1b]0;title\x07-correct-horse",
        "x\rTr0ub4\x7fdor&3-correct-horse",
        f"plain {SECRET}, again {SECRET}",
    ],
)
def test_what_a_reader_would_see_of_a_secret_is_masked(said: str) -> None:
    shown = Mask([SECRET]).mask(said)
    assert "***" in shown and "correct" not in shown and "Tr0ub4" not in shown


def test_a_secret_with_codes_in_it_is_masked_as_it_is_and_as_it_is_shown() -> None:
    mask = Mask(["a\x1b[1mbcdef"])
    assert (mask.mask("a\x1b[1mbcdef"), mask.mask("abcdef"), mask.mask("\x1b[31mred")) == (
        "***",
        "***",
        "\x1b[31mred",
    )


@pytest.mark.parametrize("inside", range(1, len(SECRET), 6))
def test_a_long_line_is_not_cut_inside_a_secret(inside: int) -> None:
    text = b"." * (_LINE + 1 - inside) + SECRET.encode() + b"." * 10
    first, rest = text[: _LINE + 1], text[_LINE + 1 :]
    stream = b"".join(struct.pack(">BxxxL", 1, len(part)) + part for part in (first, rest))
    found = list(lines(io.BufferedReader(io.BytesIO(stream)), (SECRET.encode() + b"\n",)))
    assert "".join(found) == text.decode() and sum(SECRET in line for line in found) == 1


@pytest.mark.parametrize(
    ("secret", "text", "refused"),
    [
        (SECRET.encode(), SECRET.encode(), True),
        (PEM, b"x AQC7VJTUt9Us8cKjsecondline0000 y", True),
        (PEM, b"-----BEGIN PRIVATE KEY-----\nof somebody else", False),
        (BUNDLE, b"MIIBcertificate0123456789", False),
        (BUNDLE, b"x AQC7VJTUt9Us8cKjsecondline0000 y", True),
        (NPMRC, b"token npm_0123456789abcdef", True),
        (NPMRC, b"registry=https://registry.example.org/\nstrict-ssl=false", False),
        (b'{"key": "0123456789abcdef0123"}', b"0123456789abcdef0123", False),
        (b'{\n "type": "service_account",\n "key": "0123456789abcdef0123",\n}', b"0123456789abcdef0123", True),
        (
            b'{\n "type": "service_account",\n "key": "0123456789abcdef0123",\n}',
            b' "type": "service_account",',
            False,
        ),
        (b"https://user:0123456789@host/\nsecond", b"https://user:0123456789@host/", True),
    ],
)
def test_each_line_of_a_secret_is_looked_for_and_what_anybody_may_write_is_not(
    secret: bytes, text: bytes, refused: bool
) -> None:
    writer = LayerTar(io.BytesIO().write, LayerExclusions(secrets=tuple(parts(secret))))
    if not refused:
        writer.copy(io.BytesIO(tar(node("./f"), contents=b"<" + text + b">")))
        return
    with pytest.raises(BuildFailed, match="left a secret in /f"):
        writer.copy(io.BytesIO(tar(node("./f"), contents=b"<" + text + b">")))


def _with_record(key: str, value: str) -> tarfile.TarInfo:
    made = node("./f")
    made.pax_headers = {key: value}
    return made


@pytest.mark.parametrize(
    "entry",
    [
        node(f"./{SECRET}"),
        node(f"./a/before-{SECRET}-behind/b"),
        node(f"./{SECRET}", tarfile.DIRTYPE),
        node("./link", tarfile.SYMTYPE, SECRET),
        node("./link", tarfile.SYMTYPE, "../x/" * 30 + SECRET),
        node("./link", tarfile.LNKTYPE, f"./{SECRET}"),
        _with_record("SCHILY.xattr.user.token", SECRET),
        _with_record(f"SCHILY.xattr.user.{SECRET}", "1"),
    ],
    ids=["file", "inside", "directory", "link", "long link", "hard link", "attribute", "name of an attribute"],
)
def test_no_name_link_or_attribute_of_a_layer_holds_a_secret(entry: tarfile.TarInfo) -> None:
    writer = LayerTar(io.BytesIO().write, LayerExclusions(secrets=(SECRET.encode(),)))
    with pytest.raises(BuildFailed, match="left a secret in a name, a link or an attribute") as refused:
        writer.copy(io.BytesIO(tar(entry)))
    assert SECRET not in str(refused.value)


def test_a_secret_that_is_only_a_variable_is_looked_for_in_the_layer(factory: Factory) -> None:  # noqa: F811
    factory.secrets.values = {"s": SECRET.encode()}
    assert command(factory, "FROM base:base\nRUN --mount=type=secret,id=s,env=T x\n").secrets == (SECRET.encode(),)


def test_a_variable_with_a_nul_byte_is_refused_before_an_engine_quotes_it(factory: Factory) -> None:  # noqa: F811
    factory.secrets.values = {"s": SECRET.encode() + b"\0tail"}
    with pytest.raises(BadConfiguration, match=r"^Dockerfile:2: The secret 's' has a NUL byte in it") as refused:
        build(factory, "FROM base:base\nRUN --mount=type=secret,id=s,env=T x\n")
    assert SECRET not in str(refused.value) and not factory.engine.commands


def test_what_an_engine_quotes_in_its_error_is_masked(
    factory: Factory, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    def refuse(*_: object) -> None:
        raise Unreachable(f"invalid environment: T={SECRET}", id="LN-5003")

    factory.secrets.values = {"s": SECRET.encode()}
    monkeypatch.setattr(factory.engine, "run", refuse)
    with pytest.raises(Unreachable) as refused:
        build(factory, "FROM base:base\nRUN --mount=type=secret,id=s,env=T x\n")
    assert SECRET not in str(refused.value) and "T=***" in str(refused.value)
