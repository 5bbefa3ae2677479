"""The cases of cases/: see README.md."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from tests import servers
from tests.differential import declared

ROOT = Path(__file__).with_name("cases")
_SUFFIX = ".Dockerfile"


@dataclass(frozen=True)
class Group:
    """A folder of cases: one commit."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def declared(self) -> dict[str, Any]:
        file = self.path / "group.yaml"
        found = yaml.safe_load(file.read_text()) if file.exists() else {}
        unknown = found.keys() - {"files", "image", "cases"}
        assert not unknown, f"{file}: unknown keys {sorted(unknown)}; README.md has them all"
        absent = found.get("cases", {}).keys() - {case for case, _ in self._dockerfiles()}
        assert not absent, f"{file}: no Dockerfile for {sorted(absent)}"
        return found

    def cases(self) -> list[Case]:
        return [self._case(name, path) for name, path in self._dockerfiles()]

    def _dockerfiles(self) -> list[tuple[str, Path]]:
        return [(path.name.removesuffix(_SUFFIX), path) for path in sorted(self.path.glob(f"*{_SUFFIX}"))]

    def _case(self, name: str, path: Path) -> Case:
        given = dict(self.declared.get("cases", {}).get(name) or {})
        known = {entry.name for entry in fields(Expected)}
        unknown = given.keys() - known
        assert not unknown, f"{self.path / 'group.yaml'}: {name}: unknown keys {sorted(unknown)}"
        image = {**self.declared.get("image", {}), **given.pop("image", {})}
        return Case(self, name, path.read_text(errors="surrogateescape"), Expected(image=image, **given))

    def write(self, repo: servers.Repository, arguments: Mapping[str, str]) -> None:
        """Commits the folder, what group.yaml declares, and a lineal.yaml with an image for each case."""
        images = {case.name: case.image(arguments) for case in self.cases()}
        # JSON is YAML.
        (repo.path / "lineal.yaml").write_text(json.dumps({"project": "cases", "images": images}, indent=1))
        for source in sorted(self.path.rglob("*")):
            if source.is_symlink() or source.is_file():
                _copy(source, repo.path / source.relative_to(self.path))
        # COPY . of a group without files: git knows no empty directories.
        (repo.path / "context").mkdir(exist_ok=True)
        for file in declared.files(self.declared.get("files", {})):
            _put(repo.path / file.name, file)
        # A global ignore file or attributes of the machine change nothing.
        repo.git("add", "--all", "--force")
        repo.commit()


@dataclass(frozen=True)
class Expected:
    image: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    refused: str = ""
    unsupported: str = ""
    lenient: bool = False
    differs: dict[str, str] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Whether Lineal is to build it, in the environment that all have."""
        return not (self.refused or self.unsupported or self.env)


@dataclass(frozen=True)
class Case:
    group: Group
    name: str
    text: str
    expected: Expected

    @property
    def id(self) -> str:
        return f"{self.group.name}/{self.name}"

    @property
    def dockerfile(self) -> str:
        return str(self.image({}).get("dockerfile"))

    @property
    def context(self) -> str:
        return str(self.image({})["context"])

    def image(self, arguments: Mapping[str, str]) -> dict[str, Any]:
        """The image in lineal.yaml."""
        own = {"context": "context", "dockerfile": f"{self.name}{_SUFFIX}", **self.expected.image}
        taken = {name: value for name, value in arguments.items() if self._takes(name)}
        if "contexts" in own:
            own["contexts"] = {name: _filled(named, arguments) for name, named in own["contexts"].items()}
        return {**own, "args": {**taken, **own.get("args", {})}}

    def _takes(self, argument: str) -> bool:
        return bool(re.search(rf"(?im)^\ufeff?\s*ARG\s+(?:.*\s)?{argument}(?:\s|=|$)", self.text))


def _filled(named: Mapping[str, str], arguments: Mapping[str, str]) -> dict[str, str]:
    """A named context; `image: $BASE` is that base of the harness."""
    return {key: arguments.get(value[1:], value) if value[:1] == "$" else value for key, value in named.items()}


def all_cases() -> list[Case]:
    return [case for path in sorted(ROOT.iterdir()) if path.is_dir() for case in Group(path).cases()]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.symlink_to(source.readlink())
    else:
        target.write_bytes(source.read_bytes())
        target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)


def _put(target: Path, file: declared.File) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.link:
        target.symlink_to(file.link)
    else:
        target.write_bytes(file.data)
        target.chmod(file.mode)
