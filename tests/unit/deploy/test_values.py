from __future__ import annotations

import json
from pathlib import Path

import pytest

from lineal.config.template import GitFacts
from lineal.deploy import values
from lineal.deploy.values import ImageValue, ValuesText
from lineal.errors import BadConfiguration

DIGEST = "sha256:" + "1" * 64
IMAGES = {
    "api": ImageValue.of("127.0.0.1:5000/team/app", "t1", DIGEST),
    "my-api": ImageValue.of("127.0.0.1:5000/team/app", "t2", DIGEST),
    "items": ImageValue.of("127.0.0.1:5000/team/app", "t3", DIGEST),
}
COMMON = {"git": GitFacts("c" * 40, "ccccccc", "main"), "env": "prod", "vars": {"size": "3"}}


def rendered(tmp_path: Path, text: str) -> str:
    names = values.template_names(COMMON, "shop", IMAGES)
    made = values.write(tmp_path / "v", [ValuesText("deploy/images.yaml.j2", text)], names, {})
    return made[0].path.read_text()


def test_an_image_is_known_by_all_its_names() -> None:
    assert IMAGES["api"] == ImageValue(
        ref=f"127.0.0.1:5000/team/app:t1@{DIGEST}",
        image=f"127.0.0.1:5000/team/app@{DIGEST}",
        repository="127.0.0.1:5000/team/app",
        tag="t1",
        digest=DIGEST,
    )


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("images.api.ref", f"127.0.0.1:5000/team/app:t1@{DIGEST}"),
        ('images["my-api"].image', f"127.0.0.1:5000/team/app@{DIGEST}"),
        ("images.items.tag", "t3"),
        ("images.api.repository", "127.0.0.1:5000/team/app"),
        ("images.api.digest", DIGEST),
        ("git.commit", "c" * 40),
        ("git.short", "ccccccc"),
        ("git.branch", "main"),
        ("env", "prod"),
        ("project", "shop"),
        ("vars.size", "3"),
    ],
)
def test_a_template_sees(tmp_path: Path, expression: str, text: str) -> None:
    assert rendered(tmp_path, f"x: {{{{ {expression} }}}}\n") == f"x: {text}\n"


def test_a_template_can_go_through_all_images(tmp_path: Path) -> None:
    text = "{% for name in images | sort %}{{ name }}: {{ images[name].tag }}\n{% endfor %}"
    assert rendered(tmp_path, text) == "api: t1\nitems: t3\nmy-api: t2\n"


def test_an_unknown_image_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"deploy/images.yaml.j2:2: .*ap1.*api"):
        rendered(tmp_path, "a: 1\nx: {{ images.ap1.ref }}\n")


def test_a_file_without_j2_is_left_as_it_is(tmp_path: Path) -> None:
    text = 'x: "{{ not.a.template }}"\n'
    made = values.write(tmp_path / "v", [ValuesText("values.yaml", text)], {}, {})
    assert made[0].path.read_text() == text


def test_files_keep_their_order_and_names_and_global_lineal_is_the_last(tmp_path: Path) -> None:
    files = [ValuesText("b.yaml", "x: 1\n"), ValuesText("a.yaml", "x: 2\n"), ValuesText("b.yaml", "x: 3\n")]
    made = values.write(tmp_path / "v", files, {}, {"global": {}})
    assert [file.name for file in made] == ["b.yaml", "a.yaml", "b.yaml", "global.lineal"]
    assert [file.path.read_text() for file in made[:3]] == ["x: 1\n", "x: 2\n", "x: 3\n"]
    assert json.loads(made[3].path.read_text()) == {"global": {}}


def test_only_the_user_can_read_the_files(tmp_path: Path) -> None:
    made = values.write(tmp_path / "v", [ValuesText("a.yaml", "password: x\n")], {}, {"global": {}})
    assert [oct(file.path.stat().st_mode & 0o777) for file in made] == ["0o600", "0o600"]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("values.yaml", "a: 1\nb: [\n", 3),
        ("values.yaml", "a: 1\n- b\n", 2),
        ("values.yaml", "# list\n- a\n", 2),
        ("values.yaml", "just a text\n", 1),
        ("values.yaml.j2", "{# one\n#}{% set x = 1 %}\na: 1\n- {{ x }}\n", 4),
    ],
)
def test_values_that_are_no_mapping_in_yaml_are_refused_with_their_line(
    tmp_path: Path, name: str, text: str, line: int
) -> None:
    with pytest.raises(BadConfiguration) as caught:
        values.write(tmp_path / "v", [ValuesText(name, text)], {}, {})
    assert str(caught.value.place) == f"{name}:{line}"


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "80: x\n", "a: &x {b: 1}\nc: *x\n"])
def test_values_that_helm_takes_reach_it_as_they_are(tmp_path: Path, text: str) -> None:
    written = values.write(tmp_path / "v", [ValuesText("values.yaml", text)], {}, {"global": {}})
    assert [file.name for file in written] == ["values.yaml", "global.lineal"]
    assert [file.path.read_text() for file in written] == [text, '{\n "global": {}\n}']


def test_global_values_have_a_text_for_what_is_not_known() -> None:
    assert values.global_values("shop", None, "c" * 40, None, {"api": IMAGES["api"]}) == {
        "global": {
            "lineal": {
                "project": "shop",
                "env": "",
                "commit": "c" * 40,
                "branch": "",
                "images": {
                    "api": {
                        "ref": f"127.0.0.1:5000/team/app:t1@{DIGEST}",
                        "image": f"127.0.0.1:5000/team/app@{DIGEST}",
                        "repository": "127.0.0.1:5000/team/app",
                        "tag": "t1",
                        "digest": DIGEST,
                    }
                },
            }
        }
    }
