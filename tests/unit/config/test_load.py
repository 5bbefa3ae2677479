"""What a user sees for every kind of `lineal.yaml`: the project, or one sentence with file, line, key and remedy."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from lineal.config.giterminism import Giterminism, TemplateExceptions
from lineal.config.load import LoadedProject, implicit_project, load
from lineal.config.model import Image, Secret
from lineal.config.template import GitFacts
from lineal.errors import BadConfiguration, Location

EXAMPLE = Path(__file__).with_name("example.yaml").read_text()
"""The example of the design."""


def read(
    text: str,
    env: str | None = None,
    vars: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    allowed: list[str] | None = None,
    git: GitFacts | None = None,
) -> LoadedProject:
    return load(
        text,
        file="lineal.yaml",
        env=env,
        vars=vars or {},
        git=git or GitFacts("c" * 40, "ccccccc", "main"),
        environ=environ or {},
        giterminism=Giterminism(config=TemplateExceptions(environment=allowed or [])),
    )


def refusal(text: str, **given: str) -> BadConfiguration:
    with pytest.raises(BadConfiguration) as caught:
        read(text, env=given.get("env"))
    return caught.value


def test_the_designs_example_loads() -> None:
    project = read(EXAMPLE, env="prod").project
    assert project.project == "shop"
    assert list(project.images) == ["base", "api"]
    assert project.images["api"] == Image(
        context="api",
        dockerfile="api/Dockerfile",
        target="runtime",
        args={"PYTHON": "3.13"},
        needs={"BASE": "base"},
        secrets=[Secret(id="npm", env="NPM_TOKEN")],
        cache_version="1",
    )
    assert project.deploy is not None
    assert (project.deploy.release, project.deploy.namespace, project.deploy.timeout) == ("shop-prod",) * 2 + ("10m",)


PROJECT = "project: shop\nimages:\n"


@pytest.mark.parametrize(
    ("text", "line", "key", "message", "remedy"),
    [
        ("project: shop\nimges: {}\n", 2, "imges", "`imges` is not known", "Did you mean `images`?"),
        (PROJECT + "  api:\n    dockerfil: x\n", 4, "images.api.dockerfil", "not known", "`dockerfile`"),
        (PROJECT + "  api: {xyzzy: 1}\n", 3, "images.api.xyzzy", "not known", "The keys here: context, dockerfile"),
        ("zzz: 1\nproject: shop\nyyy: 1\n", 1, "zzz", "`zzz` is not known", "project"),
        (
            PROJECT + "  a: {args: {PYTHON: 3.10}}\n",
            3,
            "images.a.args.PYTHON",
            "a number",
            'Quote it: `PYTHON: "3.10"`.',
        ),
        (PROJECT + "  a: {args: {D: yes}}\n", 3, "images.a.args.D", "true or false", 'Quote it: `D: "yes"`.'),
        (PROJECT + "  a: {args: {D: }}\n", 3, "images.a.args.D", "empty", 'Write `""`'),
        (PROJECT + "  a: {args: {D: [x]}}\n", 3, "images.a.args.D", "a list", "Write one text"),
        (
            PROJECT + "  a: {args: {3D: x}}\n",
            3,
            "images.a.args.3D",
            "`3D` is not a name",
            "not starting with a digit",
        ),
        (
            PROJECT + "  a: {cache_version: 2}\n",
            3,
            "images.a.cache_version",
            "a number",
            'Quote it: `cache_version: "2"`.',
        ),
        (PROJECT + "  Api: {}\n", 3, "images.Api", "`Api` is not a name", "lower-case"),
        (PROJECT + "  api:\n", 3, "images.api", "no value", "Write `api: {}`"),
        ("project: shop\nimages: []\n", 2, "images", "must be a mapping, and this is a list", "key: value"),
        (PROJECT + "  a: {secrets: {id: x}}\n", 3, "images.a.secrets", "must be a list", "- item"),
        (PROJECT + "  a: {secrets: [{env: X}]}\n", 3, "images.a.secrets[0]", "`id` is missing", "Write `id: …`."),
        ("images: {}\n", 1, None, "The key `project` is missing", "Write `project: …`."),
        ("project: Sh Op\n", 1, "project", "`Sh Op` cannot be used", "lower-case"),
        ("project: a\nlock: etcd\n", 2, "lock", "does not say where", "etcd:https://HOST:2379"),
        ("project: a\nlock: redis\n", 2, "lock", "no lock `redis`", "auto, file, git, kubernetes, etcd, none"),
        ("project: a\nlock: git:x\n", 2, "lock", "takes nothing behind its name", "Write `git`."),
        ("project: a\nlock: fle\n", 2, "lock", "`fle`", "Did you mean `file`?"),
        ("- project\n", 1, None, "must be a mapping", "key: value"),
        ("project: a\n\ndeploy:\n  release: x\n", 3, "deploy", "has nothing to deploy", "exactly one of `chart`"),
    ],
)
def test_a_mistake_names_line_key_and_remedy(
    text: str, line: int, key: str | None, message: str, remedy: str
) -> None:
    error = refusal(text)
    assert error.place == Location("lineal.yaml", line, key)
    assert message in error.message
    assert error.remedy is not None
    assert remedy in error.remedy
    assert error.exit_code == 3


def test_an_empty_file_says_how_to_begin() -> None:
    for text in ("", "# nothing\n", "---\n"):
        assert "empty" in refusal(text).message


def test_control_characters_of_the_file_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in str(refusal('project: a\n"\\e[31mred": 1\n'))


def test_lines_are_those_of_the_template_although_loops_shift_them() -> None:
    text = (
        "project: shop\n"
        "images:\n"
        "{% for name in ['a', 'b'] %}\n"
        "  {{ name }}:\n"
        "    context: x\n"
        "{% endfor %}\n"
        "  last:\n"
        "    contxt: y\n"
    )
    error = refusal(text)
    assert error.place == Location("lineal.yaml", 8, "images.last.contxt")
    loaded = read(text.replace("contxt", "context"))
    assert loaded.place("images.b.context").line == 5
    assert loaded.place("images.b").line == 4


def test_a_line_that_cannot_be_told_is_left_out() -> None:
    text = "{% set all %}project: shop\nimges: 1{% endset %}{{ all[:21] }}\n"
    error = refusal(text)
    assert error.place is not None
    assert (error.place.line, error.place.key) == (None, "imges")


def test_template_errors_have_the_templates_line() -> None:
    assert refusal("project: a\n\nrepo: {{ gti.commit }}\n").place == Location("lineal.yaml", 3)
    assert refusal("project: a\n{% if %}\n").place == Location("lineal.yaml", 2)


def test_the_commit_and_variables_reach_the_file() -> None:
    text = (
        "project: shop\nimages:\n  a:\n    args: {C: '{{ git.short }}', B: '{{ git.branch }}', V: '{{ vars.v }}'}\n"
    )
    assert read(text, vars={"v": "1"}).project.images["a"].args == {"C": "ccccccc", "B": "main", "V": "1"}


def test_environment_variables_are_hidden_unless_allowed() -> None:
    text = 'project: "{{ env_var("TEAM") }}"\n'
    assert read(text, environ={"TEAM": "blue"}, allowed=["TEAM"]).project.project == "blue"
    with pytest.raises(BadConfiguration, match="may not be used in templates") as caught:
        read(text, environ={"TEAM": "blue"})
    assert "lineal-giterminism.yaml" in str(caught.value)
    assert "blue" not in str(caught.value)
    with pytest.raises(BadConfiguration, match="is not set"):
        read(text, allowed=["TEAM"])
    assert read('project: {{ env_var("TEAM", "red") }}', allowed=["TEAM"]).project.project == "red"


def test_without_an_environment_the_images_load_and_only_deploy_asks_for_it() -> None:
    loaded = read(EXAMPLE)
    assert loaded.project.images["api"].target == "runtime"
    with pytest.raises(BadConfiguration, match="none was given") as caught:
        loaded.deploy()
    assert caught.value.place == Location("lineal.yaml", 16, "deploy.release")
    assert "--env" in str(caught.value)
    assert read(EXAMPLE, env="x").deploy().release == "shop-x"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("project: s-{{ env }}\n", "project"),
        ("project: s\nimages: {a: {args: {E: '{{ env }}'}}}\n", "images.a.args.E"),
        ("project: s\nimages: {a: {args: {E: '{{ env | upper }}'}}}\n", "images.a.args.E"),
        ("project: s\nimages:\n  'a-{{ env }}': {}\n", "images.a-{{ env }}"),
        ("project: s\n{% if env == 'prod' %}\nrepo: x\n{% endif %}\n", None),
    ],
)
def test_a_build_that_depends_on_the_environment_asks_for_it_at_once(text: str, key: str | None) -> None:
    error = refusal(text)
    assert "--env" in str(error)
    assert error.place is not None
    assert error.place.key == key


def test_a_default_environment_can_be_written() -> None:
    assert read("project: s-{{ env | default('dev') }}").project.project == "s-dev"


def test_release_and_namespace_default_to_project_and_environment() -> None:
    text = "project: my_shop\ndeploy: {chart: ./chart/}\n"
    plain = read(text.replace("my_shop", "shop")).deploy()
    assert (plain.release, plain.namespace, plain.chart) == ("shop", "shop", "chart")
    assert read(text.replace("my_shop", "shop"), env="prod").deploy().release == "shop-prod"
    assert re.fullmatch(r"my-shop-feature-x-[0-9a-f]{8}", read(text, env="feature/x").deploy().release)
    assert read(text, env="feature/x").deploy().release != read(text, env="feature-x").deploy().release
    assert len(read(text, env="x" * 200).deploy().release) == 53


def test_deploy_without_a_section_says_so() -> None:
    with pytest.raises(BadConfiguration, match="nothing to deploy"):
        read("project: s").deploy()


def test_every_value_has_an_origin() -> None:
    loaded = read(EXAMPLE, env="prod")
    sources = {key: str(origin) for key, origin in loaded.origins.items()}
    assert sources["project"] == "lineal.yaml:1"
    assert sources["images.api.args.PYTHON"] == "lineal.yaml:9"
    assert sources["images.api.secrets[0].id"] == "lineal.yaml:11"
    assert sources["images.base.context"] == sources["deploy.timeout"] == "default"
    assert sources["deploy.values[1]"] == "lineal.yaml:20"


def test_the_place_of_a_value_that_is_not_written_is_its_nearest_parent() -> None:
    loaded = read(EXAMPLE)
    assert loaded.place("images.base.target") == Location("lineal.yaml", 3, "images.base.target")
    assert loaded.place("images.api.secrets[4].id") == Location("lineal.yaml", 11, "images.api.secrets[4].id")
    assert loaded.place("nowhere") == Location("lineal.yaml", 1, "nowhere")


def test_a_setting_is_known_only_when_it_is_written() -> None:
    loaded = read("project: s\nrepo: layout:x\n")
    found = loaded.setting("repo")
    assert found is not None
    assert (found.value, str(found.origin)) == ("layout:x", "lineal.yaml:2")
    assert loaded.setting("lock") is None
    assert loaded.setting("deploy.release") is None


def test_paths_get_one_spelling() -> None:
    image = read("project: s\nimages: {a: {context: ./api/, dockerfile: api//x/../Dockerfile}}").project.images["a"]
    assert (image.context_path, image.dockerfile_path) == ("api", "api/Dockerfile")
    assert (Image().context_path, Image().dockerfile_path) == ("", "Dockerfile")
    assert Image(context="api").dockerfile_path == "api/Dockerfile"


def test_without_lineal_yaml_the_dockerfile_is_one_image_named_after_the_project() -> None:
    loaded = implicit_project(True, "My Shop")
    assert loaded.project.project == "my-shop"
    assert loaded.project.images == {"my-shop": Image()}
    assert str(loaded.origins["project"]) == "assumed, no lineal.yaml"
    assert loaded.place("images.my-shop") == Location("lineal.yaml", None, "images.my-shop")
    assert loaded.setting("repo") is None
    with pytest.raises(BadConfiguration, match=r"neither lineal\.yaml nor Dockerfile"):
        implicit_project(False, "x")


def test_a_file_without_templates_does_not_load_jinja2() -> None:
    code = (
        "import sys; from lineal.config.load import load; from lineal.config.giterminism import Giterminism\n"
        "from lineal.config.template import GitFacts\n"
        "git = GitFacts('', '')\n"
        "loaded = load('project: s', env=None, vars={}, git=git, environ={}, giterminism=Giterminism())\n"
        "loaded.origins; sys.exit('jinja2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
