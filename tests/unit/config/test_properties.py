"""For any input: a project written as YAML loads to itself, and random text only ever gives `BadConfiguration`."""

from __future__ import annotations

import msgspec
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineal.commands.config import describe
from lineal.config.giterminism import Giterminism, load_giterminism
from lineal.config.load import LoadedProject, load
from lineal.config.model import Deploy, Image, Project, Secret, normal
from lineal.config.template import GitFacts
from lineal.errors import BadConfiguration

word = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?", fullmatch=True)
label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
variable = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,12}", fullmatch=True, alphabet=st.characters(codec="ascii"))
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{\ufffe\uffff"), max_size=30)
path = (
    st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="{~"), min_size=1, max_size=20)
    .map(normal)
    .filter(lambda value: not value.startswith(("/", "..", "~")) and "://" not in value and value.isprintable())
)
secret = st.builds(Secret, id=variable, env=variable) | st.builds(Secret, id=variable, file=path)


def image(names: list[str]) -> st.SearchStrategy[Image]:
    """Needs only what is named before it, so that there is no circle."""
    needs = st.dictionaries(variable.map("N_".__add__), st.sampled_from(names), max_size=2) if names else st.just({})
    return st.builds(
        Image,
        context=path,
        dockerfile=st.none() | path,
        target=st.none() | word,
        args=st.dictionaries(variable.map("A_".__add__), text, max_size=3),
        needs=needs,
        secrets=st.lists(secret, max_size=2, unique_by=lambda one: one.id),
        cache_version=text,
        platforms=st.sampled_from([["linux/amd64"], ["linux/arm64"]]),
    )


@st.composite
def projects(draw: st.DrawFn) -> Project:
    names = draw(st.lists(st.from_regex(r"[a-z0-9]+([._/-][a-z0-9]+)?", fullmatch=True), max_size=3, unique=True))
    images = {name: draw(image(names[:index])) for index, name in enumerate(names)}
    deploy = st.builds(
        Deploy, chart=path, release=label, namespace=label, values=st.lists(path, max_size=2), timeout=st.just("5m")
    )
    return Project(
        project=draw(word),
        images=images,
        deploy=draw(st.none() | deploy),
        repo=draw(st.none() | word),
        lock=draw(st.sampled_from(["auto", "file", "git", "kubernetes:ci", "etcd:https://etcd:2379", "none"])),
    )


def read(source: str) -> LoadedProject:
    return load(source, env=None, vars={}, git=GitFacts("c", "c"), environ={}, giterminism=Giterminism())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(projects())
def test_a_project_written_as_yaml_loads_to_itself(project: Project) -> None:
    written = yaml.safe_dump(msgspec.to_builtins(project), sort_keys=False)
    loaded = read(written)
    assert loaded.project == project
    assert read(describe(loaded, {})).project == project
    assert set(loaded.origins) >= {"project", "lock"}


JINJA = ["{{ ", " }}", "{% for x in ", "{% endfor %}", "{% if ", "%}", "{% set x = ", "{# ", "#}", "| upper", "env"]
NAMES = ["git.commit", "x", "()", "1", "__class__", ".", "project: a\n", "images:", "  a: "]
YAML = [
    "&a ",
    "*a",
    "<<: ",
    "[",
    "]",
    "{",
    "}",
    "- ",
    "? ",
    ": ",
    "\n",
    "\t",
    "'",
    '"',
    "|\n",
    "!!int ",
    "---\n",
    "# ",
]
ODD = ["\x00", "\ud800", "\ue000", "\uefff", "\r"]
fragments = st.sampled_from([*JINJA, *NAMES, *YAML, *ODD])


@settings(max_examples=300, deadline=None)
@given(st.text() | st.lists(fragments, max_size=25).map("".join))
def test_random_text_is_only_ever_a_bad_configuration(source: str) -> None:
    for reader in (read, load_giterminism):
        try:
            reader(source)
        except BadConfiguration as error:
            assert error.message
            assert all(line.isprintable() for line in str(error).split("\n"))
