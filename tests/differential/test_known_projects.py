"""cases/known-projects keeps what it is for: the Dockerfiles of many projects, each with its source named."""

from __future__ import annotations

import re

import pytest

from tests.differential.cases import ROOT, Case, Group

CASES = Group(ROOT / "known-projects").cases()
# "owner/repository, path of the file": what was changed.
_SOURCE = re.compile(r"# (?P<project>[\w.-]+/[\w.-]+), (?P<path>[\w./-]*\w)(?: \(.+?\))?[.,] .+")


def _source(case: Case) -> re.Match[str] | None:
    return _SOURCE.fullmatch(case.text.splitlines()[0])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_first_comment_names_the_source(case: Case) -> None:
    assert _source(case), case.text.splitlines()[0]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nothing_comes_from_a_public_registry(case: Case) -> None:
    text = case.text.replace("\\\n", " ")
    local = ("$", "scratch", "nothing.invalid/")
    names = {name.lower() for name in re.findall(r"(?im)^FROM .*\sAS\s+(\S+)\s*$", text)}
    bases = re.findall(r"(?im)^FROM\s+(?:--platform=\S+\s+)?(\S+)", text)
    copied = re.findall(r"(?i)\bfrom=([^\s,]+)", text)
    outside = [name for name in [*bases, *copied] if not name.isdigit() and name.lower() not in names]
    assert [name for name in outside if "$" not in name and not name.startswith(local)] == []


def test_twenty_five_projects_are_built_without_a_difference() -> None:
    said = [(case, case.expected) for case in CASES]
    same = [case for case, wanted in said if not (wanted.unsupported or wanted.refused or wanted.differs)]
    projects = {source["project"] for case in same if (source := _source(case))}
    assert len(projects) >= 25, sorted(projects)
