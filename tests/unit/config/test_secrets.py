"""Where the values of secrets come from, and that they are not seen in what commands print (G8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineal.config.model import Secret
from lineal.config.secrets import SecretValues, parse_secret
from lineal.errors import BadConfiguration

HERE = Path("/here")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("id=npm,env=NPM_TOKEN", Secret(id="npm", env="NPM_TOKEN")),
        ("id=NPM", Secret(id="NPM", env="NPM")),
        ("id=npm,src=token", Secret(id="npm", file="/here/token")),
        ("id=npm,source=/etc/token", Secret(id="npm", file="/etc/token")),
        ("file=token,id=npm", Secret(id="npm", file="/here/token")),
        ("type=file,id=npm,src=~/.npmrc", Secret(id="npm", file="~/.npmrc")),
        ("type=env,id=npm,src=NPM_TOKEN", Secret(id="npm", env="NPM_TOKEN")),
        ("id=npm,src=a=b", Secret(id="npm", file="/here/a=b")),
    ],
)
def test_the_forms_of_docker_build(text: str, secret: Secret) -> None:
    assert parse_secret(text, HERE) == secret


@pytest.mark.parametrize(
    "text", ["", "npm", "env=X", "id=,env=X", "id=a,env=X,src=y", "id=a,env=", "id=a,src=", "id=a,what=x",
             "id=a,type=nonsense,src=x", "id=a,hunter2"]
)  # fmt: skip
def test_another_form_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(BadConfiguration, match="--secret id=NAME,env=VARIABLE") as refused:
        parse_secret(text, HERE)
    assert "hunter2" not in str(refused.value)


def values(tmp_path: Path, *given: Secret, environ: dict[str, str] | None = None, **images: Secret) -> SecretValues:
    return SecretValues({name: [secret] for name, secret in images.items()}, given, environ or {}, tmp_path)


def test_each_image_has_its_own_and_the_command_line_wins(tmp_path: Path) -> None:
    environ = {"ONE": "value-one", "TWO": "value-two", "MINE": "value-mine"}
    npm = {"api": Secret(id="npm", env="ONE"), "web": Secret(id="npm", env="TWO")}
    secrets = values(tmp_path, environ=environ, **npm)
    assert [secrets.value(image, "npm") for image in ("api", "web", "other")] == [b"value-one", b"value-two", None]
    assert secrets.value("api", "other") is None
    secrets = values(tmp_path, Secret(id="npm", env="MINE"), environ=environ, **npm)
    assert [secrets.value(image, "npm") for image in ("api", "web", "other")] == [b"value-mine"] * 3


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xff\x00line\r\n")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.npmrc").write_text("from home")
    for file, content in (
        ("token", b"\xff\x00line\r\n"),
        (str(tmp_path / "token"), b"\xff\x00line\r\n"),
        ("~/.npmrc", b"from home"),
    ):
        secrets = values(tmp_path, environ={"HOME": str(tmp_path / "home")}, api=Secret(id="x", file=file))
        assert secrets.value("api", "x") == content


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    secrets = values(tmp_path, api=Secret(id="a", env="NPM_TOKEN"), web=Secret(id="a", file="none"))
    with pytest.raises(BadConfiguration, match="'a' comes from the environment variable NPM_TOKEN, which is not set"):
        secrets.value("api", "a")
    with pytest.raises(BadConfiguration, match=f"'a' comes from {tmp_path}/none, which cannot be read: No such file"):
        secrets.value("web", "a")


def test_a_source_that_nobody_mounts_may_be_missing(tmp_path: Path) -> None:
    assert values(tmp_path, api=Secret(id="a", env="NOT_SET")).value("api", "b") is None


def test_an_empty_value_is_a_value(tmp_path: Path) -> None:
    assert values(tmp_path, environ={"E": ""}, api=Secret(id="a", env="E")).value("api", "a") == b""


def masked(tmp_path: Path, value: str, line: str) -> str:
    secrets = values(tmp_path, environ={"S": value}, api=Secret(id="a", env="S"))
    assert secrets.mask(line) == line  # nobody has read it yet
    secrets.value("api", "a")
    return secrets.mask(line)


@pytest.mark.parametrize(
    ("value", "line", "shown"),
    [
        ("hunter2", "token hunter2 and hunter2.", "token *** and ***."),
        ("hunter2\n", "hunter2", "***"),
        ("first line\n  second line\r\n", "x second line y first line", "x *** y ***"),
        ("hunter2\nhunter2-longer", "hunter2-longer", "***"),
        ("abc", "abc stays: too short to hide anything", "abc stays: too short to hide anything"),
        ("abc\nabcd", "abc abcd", "abc ***"),
        ("", "nothing", "nothing"),
        (".*", "a.*b", "a.*b"),
        ("p[a-z]+", "p[a-z]+ pabc", "*** pabc"),
        ("schlüssel", "der schlüssel", "der ***"),
    ],
)
def test_values_are_masked_line_by_line(tmp_path: Path, value: str, line: str, shown: str) -> None:
    assert masked(tmp_path, value, line) == shown


def test_all_that_were_read_are_masked(tmp_path: Path) -> None:
    environ = {"A": "secret-a", "B": "secret-b"}
    secrets = values(tmp_path, environ=environ, api=Secret(id="a", env="A"), web=Secret(id="b", env="B"))
    secrets.value("api", "a")
    secrets.value("web", "b")
    assert secrets.mask("secret-a secret-b") == "*** ***"
