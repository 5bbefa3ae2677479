"""The statement of a stage: SLSA provenance as an in-toto Statement, which is the document of the record.

Every fact stands in it once, so that the record and the statement cannot disagree."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from lineal.oci.verify import is_digest
from lineal.value import dataclass

STATEMENT = "application/vnd.in-toto+json"
"""The media type of a statement, and the payload type of its envelope."""
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
SPDX = "https://spdx.dev/Document"
"""The predicate type of an SBOM; others may write its version behind it."""
STAGE = "https://lineal.dev/stage/v1"
"""The build type of a stage's provenance."""
LOCAL = "https://lineal.dev/builder/local"
"""The builder of a run outside CI."""
UNKNOWN = "https://lineal.dev/builder/unknown"
"""The builder of what git proves: whoever made it, it is the same."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """Something that a stage was made of. `digest` goes by the names of in-toto: `sha256`, `gitCommit`."""

    name: str
    digest: Mapping[str, str]
    uri: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """As `sha256:…`; no digest for what has another one."""
        return f"sha256:{self.digest.get('sha256', '')}"

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"name": self.name, "digest": dict(self.digest)}
        found |= {"uri": self.uri} if self.uri else {}
        return found | ({"annotations": dict(self.annotations)} if self.annotations else {})

    @staticmethod
    def read(found: Mapping[str, Any]) -> Dependency:
        """Raises ValueError, LookupError, TypeError or AttributeError."""
        uri, digest, annotations = found.get("uri", ""), found["digest"], found.get("annotations", {})
        texts = [found["name"], uri, *digest.keys(), *digest.values(), *annotations.keys(), *annotations.values()]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("a dependency with something else than texts")
        return Dependency(found["name"], digest, uri, annotations)


def stage_dependency(name: str, image: str, checksum: str, tag: str) -> Dependency:
    """Another stage: by the digest of its image, which is the subject of its own statement."""
    return Dependency(name, digest_set(image), annotations={"checksum": checksum, "tag": tag})


def digest_set(digest: str) -> dict[str, str]:
    """`sha256:…` as in-toto writes it."""
    algorithm, _, hexadecimal = digest.partition(":")
    return {algorithm: hexadecimal}


def without_user(uri: str) -> str:
    """The address without a name and a password."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


@dataclass(frozen=True, slots=True)
class Builder:
    """The run that makes something, as its CI names it. What it says of itself is worth as much as its signature."""

    id: str = LOCAL
    invocation: str = ""
    """The address of the run; empty where there is none."""
    pull_request: int | None = None
    """The pull request that the run is for."""
    store: str = ""
    """The store's repository, spelled the same on every machine."""
    source: str = ""
    """The address of the project's source, without credentials."""


NOBODY = Builder()
"""A run outside CI, of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Making:
    """How a stage was made, beside what its checksum holds. Of secrets the ids alone."""

    instruction: str = ""
    place: str = ""
    secrets: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    builder: Builder = NOBODY


@dataclass(frozen=True)
class StageStatement:
    """What is said of a stage. It is as true as who vouches for it."""

    checksum: str
    commits: tuple[str, ...]
    tree: str
    branch: str
    parent: str
    project: str
    version: str
    image: str
    """The digest of the image's manifest: the subject."""
    platform: str
    filesystem: str
    """The digest of the filesystem index, on which later stages rest as they do on the image."""
    inputs: Mapping[str, Any]
    making: Making
    beside: frozenset[str] = frozenset()
    """As in `Record`."""
    finished: int | None = None
    """When it was signed, in ms since the epoch by the store's clock."""
    durations: tuple[int, ...] = ()
    """As in `Record`, of what is signed."""

    def without_claims(self) -> StageStatement:
        """What the stage itself shows: nothing of who made it, when, of which commit and on what."""
        making = replace(self.making, dependencies=(), builder=Builder(UNKNOWN, store=self.making.builder.store))
        return replace(self, commits=(), tree="", branch="", project="", making=making, finished=None, durations=())

    def encode(self) -> bytes:
        making, builder = self.making, self.making.builder
        source = f"git+{builder.source}" if builder.source else ""
        made_from = [Dependency("source", {"gitCommit": commit}, source) for commit in self.commits]
        made_from += [Dependency("tree", {"gitTree": self.tree}), *making.dependencies]
        external = {
            "project": self.project,
            "branch": self.branch,
            "platform": self.platform,
            "instruction": making.instruction,
            "place": making.place,
            "secrets": list(making.secrets),
            "agents": list(making.agents),
        }
        internal: dict[str, Any] = {
            "checksum": self.checksum,
            "parent": self.parent,
            "filesystem": self.filesystem,
            "inputs": self.inputs,
            "store": builder.store,
        }
        internal |= {"beside": sorted(self.beside)} if self.beside else {}
        internal |= {"durations": list(self.durations)} if self.durations else {}
        internal |= {"pullRequest": builder.pull_request} if builder.pull_request is not None else {}
        return provenance(
            [(self.project, self.image)], STAGE, external, internal, made_from, builder, self.version, self.finished
        )

    @staticmethod
    def read(data: bytes) -> StageStatement:
        """Raises ValueError for anything else than the statement of a stage."""
        try:
            return _read(json.loads(data))
        except (LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"not the statement of a stage: {error}") from None


def provenance(
    subjects: Iterable[tuple[str, str]], build_type: str, external: Mapping[str, Any], internal: Mapping[str, Any],
    made_from: Iterable[Dependency], builder: Builder, version: str, finished: int | None,
) -> bytes:  # fmt: skip
    """An in-toto Statement of SLSA provenance. `subjects` are names and digests. Names of files that are no UTF-8
    stand in it as escapes: other tools read it as well."""
    metadata = {"invocationId": builder.invocation} if builder.invocation else {}
    metadata |= {"finishedOn": _time(finished)} if finished is not None else {}
    document = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": digest_set(digest)} for name, digest in subjects],
        "predicateType": PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": build_type,
                "externalParameters": external,
                "internalParameters": internal,
                "resolvedDependencies": [one.to_json() for one in made_from],
            },
            "runDetails": {
                "builder": {"id": builder.id, "version": {"lineal": version}},
                "metadata": metadata,
            },
        },
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _read(document: Any) -> StageStatement:
    definition, run = document["predicate"]["buildDefinition"], document["predicate"]["runDetails"]
    kinds = (document["_type"], document["predicateType"], definition["buildType"])
    (subject,) = document["subject"]
    external, internal = definition["externalParameters"], definition["internalParameters"]
    made_from = [Dependency.read(one) for one in definition["resolvedDependencies"]]
    commits = tuple(one.digest["gitCommit"] for one in made_from if one.name == "source")
    (tree,) = (one.digest["gitTree"] for one in made_from if one.name == "tree")
    image = f"sha256:{subject['digest']['sha256']}"
    pull_request, metadata = internal.get("pullRequest"), run["metadata"]
    if kinds != (STATEMENT_TYPE, PROVENANCE, STAGE) or not is_digest(image):
        raise ValueError("a statement of another kind")
    if type(pull_request) not in (int, type(None)) or not isinstance(internal["inputs"], dict):
        raise ValueError("a statement with values of another kind")
    beside, durations = internal.get("beside", []), internal.get("durations", [])
    if not isinstance(durations, list) or any(type(took) is not int for took in durations):
        raise ValueError("a statement with values of another kind")
    texts = [external[key] for key in ("project", "branch", "platform", "instruction", "place")]
    texts += [internal[key] for key in ("checksum", "parent", "filesystem", "store")]
    texts += [run["builder"]["id"], run["builder"]["version"]["lineal"], metadata.get("invocationId", "")]
    if not all(isinstance(text, str) for text in (*texts, *beside, *external["secrets"], *external["agents"])):
        raise ValueError("a statement with values of another kind")
    builder = Builder(
        run["builder"]["id"], metadata.get("invocationId", ""), pull_request, internal["store"],
        next(iter(one.uri.removeprefix("git+") for one in made_from if one.name == "source"), ""),
    )  # fmt: skip
    others = tuple(one for one in made_from if one.name not in ("source", "tree"))
    making = Making(
        external["instruction"], external["place"], tuple(external["secrets"]), tuple(external["agents"]), others,
        builder,
    )  # fmt: skip
    return StageStatement(
        internal["checksum"], commits, tree, external["branch"], internal["parent"], external["project"],
        run["builder"]["version"]["lineal"], image, external["platform"], internal["filesystem"], internal["inputs"],
        making, frozenset(beside),
        _milliseconds(metadata["finishedOn"]) if "finishedOn" in metadata else None, tuple(durations),
    )  # fmt: skip


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _milliseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
