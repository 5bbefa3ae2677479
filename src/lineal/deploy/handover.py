"""What a run hands over to another git repository, for whatever deploys from there: a folder of manifests, or a file
of values.

Beside the files stands of which commit they are. A run of an earlier commit that comes late changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lineal.deploy.render import LEDGER, Shape
from lineal.errors import BadConfiguration
from lineal.git.target_branch import Files, Snapshot, obstacle
from lineal.text import quoted

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_STEERS = re.compile(r"\.argocd-source.*|.*Chart\.yaml")
"""Files by which Argo CD makes something else of those beside them."""
_HEAD = "# Written by `lineal render --values-only`; what is changed here is lost.\n# lineal: "


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the result goes; with neither, to stdout."""

    output: str | None = None
    """A directory."""
    url: str | None = None
    """Another git repository, to whose `branch` it is committed, below `path`."""
    branch: str | None = None
    path: str | None = None
    values_only: bool = False
    """Commit a file of values at `path`, and no manifests."""

    def check(self, shape: Shape) -> None:
        """Raises `BadConfiguration` for what makes no sense together."""
        beside = {"--branch": self.branch, "--path": self.path, "--values-only": self.values_only}
        alone = next((name for name, given in beside.items() if given), None)
        if self.url is None and alone:
            raise _together(f"{alone} is for --to-git.", "Give both, or neither.")
        if self.url and self.output:
            raise _together("--to-git and --output are two places.", "Give one of them.")
        if self.url and not self.branch:
            raise _together("--to-git needs a branch.", "Name it with `--branch`, such as `--branch main`.")
        if self.values_only and not (self.path or "").endswith((".yaml", ".yml")):
            raise _together("--values-only writes a file.", "Name it with `--path`, such as `envs/prod/images.yaml`.")
        if self.values_only and shape != Shape():
            raise _together("--values-only has no manifests.", "Leave the options for manifests out.")
        if shape.kustomization and not (self.url or self.output):
            raise _together("--kustomization lists files.", "Give `--output DIR` or `--to-git URL` too.")


def _together(what: str, remedy: str) -> BadConfiguration:
    return BadConfiguration(what, id="LN-1016", remedy=remedy)


class Overtaken(Exception):
    """A later commit has been handed over already."""

    def __init__(self, commit: str) -> None:
        super().__init__(commit)
        self.commit = commit


@dataclass(frozen=True, slots=True)
class Stamp:
    project: str
    commit: str

    def check(self, found: Any, overtaken: Callable[[str], bool]) -> None:
        """Raises `Overtaken` when what is there is of a later commit of this project. `found` may be anybody's."""
        theirs = found.get("commit") if isinstance(found, dict) and found.get("project") == self.project else None
        if isinstance(theirs, str) and _COMMIT.fullmatch(theirs) and overtaken(theirs):
            raise Overtaken(theirs)


@dataclass(frozen=True, slots=True)
class Folder:
    """`files`: name -> text, all that is to be in the folder of what Lineal writes there."""

    path: str
    """In the other repository, `` for its root."""
    files: Mapping[str, str]
    stamp: Stamp
    overtaken: Callable[[str], bool]
    """Whether this run's commit is an earlier one than the given."""
    signed: bool = False
    """Whether the commit is signed, and so vouches for what stands beside these files."""

    def change(self, branch: Snapshot) -> Files:
        """What has to change of the branch; empty for nothing. Raises `BadConfiguration` and `Overtaken`."""
        ledger = _parsed(branch.read(self._at(LEDGER)))
        listed = _listed(ledger)
        changed: dict[str, bytes | None] = {}
        for name, text in self.files.items():
            path, content = self._at(name), text.encode()
            _refuse_obstacle(branch, path)
            if branch.has(path, content):
                continue
            if name not in listed and branch.mode(path):
                raise _foreign(path)
            changed[path] = content
        there = branch.files(self.path)
        changed |= {self._at(name): None for name in listed - set(self.files) if self._at(name) in there}
        if not changed and listed == set(self.files):
            return {}
        self.stamp.check(ledger, self.overtaken)
        if self.signed:
            self._refuse_steering(there)
        told = {"project": self.stamp.project, "commit": self.stamp.commit, "files": sorted(self.files)}
        return {**changed, self._at(LEDGER): (json.dumps(told, indent=1) + "\n").encode()}

    def _refuse_steering(self, there: set[str]) -> None:
        for path in sorted(there):
            name = path.removeprefix(self._at(""))
            if _STEERS.fullmatch(name) and "/" not in name and name not in self.files:
                what = (
                    f"{quoted(path)} of the branch was not written by `lineal render`, and may tell Argo CD to make "
                    "something else of what is beside it: the signature would vouch for that."
                )
                raise BadConfiguration(what, id="LN-6066", remedy="Remove it there, or choose another `--path`.")

    def _at(self, name: str) -> str:
        return f"{self.path}/{name}" if self.path else name


@dataclass(frozen=True, slots=True)
class ValuesOnly:
    path: str
    text: str
    stamp: Stamp
    overtaken: Callable[[str], bool]

    def change(self, branch: Snapshot) -> Files:
        """As `Folder.change`."""
        _refuse_obstacle(branch, self.path)
        there = branch.read(self.path)
        found, text = _unstamped(there)
        if there is not None and found is None:
            raise _foreign(self.path)
        if text == self.text:
            return {}
        self.stamp.check(found, self.overtaken)
        stamp = json.dumps({"project": self.stamp.project, "commit": self.stamp.commit})
        return {self.path: f"{_HEAD}{stamp}\n{self.text}".encode()}


def _unstamped(data: bytes | None) -> tuple[Any, str]:
    """The stamp of a file that Lineal wrote, and its text; None for the stamp of any other file."""
    text = (data or b"").decode("utf-8", "replace")
    if not text.startswith(_HEAD):
        return None, text
    stamp, _, rest = text.removeprefix(_HEAD).partition("\n")
    return _parsed(stamp.encode()) or {}, rest


def _parsed(data: bytes | None) -> Any:
    try:
        return json.loads(data or b"null")
    except (ValueError, RecursionError):
        return None


def _listed(ledger: Any) -> set[str]:
    """The files that an earlier run wrote. The list may be anybody's: names that lead elsewhere are ignored."""
    names = ledger.get("files") if isinstance(ledger, dict) else None
    found = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    return {name for name in found if name and "/" not in name and name not in (".", "..", LEDGER)}


def _refuse_obstacle(branch: Snapshot, path: str) -> None:
    if (found := obstacle(branch, path)) != "":
        what = f"{quoted(found)} of the branch is in the way of {quoted(path)}."
        raise BadConfiguration(what, id="LN-6066", remedy="Remove it there, or choose another `--path`.")


def _foreign(path: str) -> BadConfiguration:
    what = f"{quoted(path)} of the branch was not written by `lineal render`."
    return BadConfiguration(what, id="LN-6066", remedy="Remove it there, or choose another `--path`.")


def message(stamp: Stamp, env: str, source: str, pipeline: str, images: Mapping[str, str]) -> str:
    """The message of the commit. `source` is where people find the project, `pipeline` this run; empty when that is
    not known. `images`: name -> `repository@digest`."""
    lines = [f"{stamp.project}{' ' + env if env else ''}: {stamp.commit[:12]}", ""]
    lines.append(f"Commit: {stamp.commit}" + (f" of {source}" if source else ""))
    lines += [f"Pipeline: {pipeline}"] if pipeline else []
    lines += [f"Image: {name} {image}" for name, image in sorted(images.items())]
    return "\n".join(lines) + "\n"
