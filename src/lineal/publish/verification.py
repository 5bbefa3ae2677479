"""What an image rests on: each of its stages is proved from git, vouched for by somebody, the base that a Dockerfile
names, or nothing of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote

from lineal.build.environment import BuildEnvironment
from lineal.build.proof import digests, is_base, is_provable, made_again, published
from lineal.dockerfile.checksum import checksum
from lineal.dockerfile.stage import Stage
from lineal.errors import LinealError
from lineal.oci import Store
from lineal.oci.image import read_image
from lineal.store.record import Record
from lineal.trust import Evidence, Verifier
from lineal.trust.chain import Link, chain, layers_of, link
from lineal.trust.signed import FORGED

Kind = Literal["proved", "signed", "base", "unvouched", "forged"]


@dataclass(frozen=True)
class Finding:
    """A stage and what it rests on. `sources` are those that it copies files of."""

    link: Link
    kind: Kind
    reason: str
    instruction: str
    sources: tuple[tuple[Finding, ...], ...] = ()

    def every(self) -> Iterator[Finding]:
        yield self
        for below in self.sources:
            for one in below:
                yield from one.every()


@dataclass
class Verification:
    """Of one run. Stages are read from the environment's store, to which nothing is written."""

    environment: BuildEnvironment
    verifiers: Sequence[Verifier]
    repository: str
    """The store, as marks and statements name it."""
    planned: Callable[[Record], Mapping[str, Stage]]
    """The stages of the commits that a record names, by checksum, as far as this history has them."""
    _known: dict[str, Finding] = field(default_factory=dict)

    @property
    def _store(self) -> Store:
        return self.environment.store

    def chain(self, last: Link) -> tuple[Finding, ...]:
        """The findings of a stage and of all below it, the last first. Raises `Unreachable`."""
        links = list(chain(self._store, last))
        return tuple(map(self._once, links, [*links[1:], None]))

    def _once(self, one: Link, parent: Link | None) -> Finding:
        """What is copied from in a circle is made by nobody."""
        digest = one.index.digest
        if digest not in self._known:
            self._known[digest] = Finding(one, "forged", "it is made of itself", "")
            self._known[digest] = self._finding(one, parent)
        return self._known[digest]

    def _finding(self, one: Link, parent: Link | None) -> Finding:
        text = one.statement.making.instruction if one.statement else ""
        if one.told is None:
            return Finding(one, "forged", "its record tells of another image, or is gone", text)
        if parent is not None and not self._stands_on(one, parent):
            return Finding(one, "forged", "it does not have the layers of the stage below it", text)
        stage = self.planned(one.record).get(one.record.checksum)
        text = stage.text if stage is not None else text
        if stage is not None and one.record.parent != (stage.parent.checksum if stage.parent else ""):
            return Finding(one, "forged", "it stands on another stage than the Dockerfile says", text)
        vouched, why = self._vouched(one)
        if not vouched and why.startswith(FORGED):
            return Finding(one, "forged", why, text)
        if one.record.parent and parent is None and not vouched:
            return Finding(one, "unvouched", "the stage below it is not in the store", text)
        if "from" in one.told.inputs and not one.record.parent:
            return self._base(one, why if vouched else "", text)
        sources = self._sources(one, stage)
        found: tuple[tuple[Finding, ...], ...] = () if vouched else tuple(map(self.chain, sources.values()))
        if stage is not None and is_provable(stage) and set(sources) == set(stage.sources):
            proved, reason = self._proved(one, stage, parent, sources)
            if proved:
                return Finding(one, "proved", f"proved from git ({one.record.commits[-1][:7]})", text, found)
            if not vouched and reason:
                return Finding(one, "forged", reason, text, found)
        if vouched:
            return Finding(one, "signed", why, text)
        return Finding(one, "unvouched", "nobody vouches for it", text, found)

    def _vouched(self, one: Link) -> tuple[bool, str]:
        """Whether a verifier vouches for a stage, and who; else why not, a forgery before all."""
        reasons = []
        for verifier in self.verifiers:
            verdict = verifier.judge(Evidence(one.index, one.record, self.repository, self._store))
            if verdict.trusted:
                return True, verdict.reason
            reasons.append(verdict.reason)
        reasons.sort(key=lambda reason: not reason.startswith(FORGED))
        return False, reasons[0] if reasons else ""

    def _stands_on(self, one: Link, parent: Link) -> bool:
        upper, lower = self._store.manifest(one.image), self._store.manifest(parent.image)
        try:
            layers = layers_of(lower) if lower is not None else []
            return upper is not None and lower is not None and layers_of(upper)[: len(layers)] == layers
        except (ValueError, LookupError, TypeError):
            return False

    def _sources(self, one: Link, stage: Stage | None) -> dict[str, Link]:
        """The stages that it copies files of, by their names in the instruction."""
        told = {
            dependency.annotations.get("checksum", ""): dependency
            for dependency in (one.statement.making.dependencies if one.statement else ())
            if dependency.name == "from"
        }
        found = {}
        for name, source in (stage.sources if stage is not None else {}).items():
            dependency = told.get(source.checksum)
            tag = dependency.annotations.get("tag", "") if dependency else ""
            other = link(self._store, tag, source.checksum) if tag.startswith(source.checksum) else None
            if dependency is not None and other is not None and dependency.sha256 == other.image:
                found[name] = other
        return found

    def _proved(self, one: Link, stage: Stage, parent: Link | None, sources: Mapping[str, Link]) -> tuple[bool, str]:
        """Whether the commit's files give this very stage; if not, what they give, empty where that is not known."""
        indexes = {name: source.index for name, source in sources.items()}
        try:
            built = made_again(stage, parent.index if parent else None, indexes, self.environment)
            again, there = digests(built), published(self._store, one.index)
        except LinealError:
            return False, ""
        return again == there, f"git gives {again[0][:19]} in its place"

    def _base(self, one: Link, vouched: str, text: str) -> Finding:
        """A base is what its registry has under the digest that the statement names."""
        inputs = one.told.inputs if one.told else {}
        reference = str(inputs["from"])
        if checksum(dict(inputs)) != one.record.checksum:
            return Finding(one, "forged", f"no Dockerfile that names {reference} makes this stage", text)
        made_from = one.statement.making.dependencies if one.statement else ()
        digest = next((other.sha256 for other in made_from if other.name == "base"), "")
        name = f"{reference.partition('@')[0]}@{digest}"
        try:
            store, version = self.environment.base_store(f"{_without_tag(reference)}@{digest}")
            platform = one.statement.platform if one.statement else ""
            base = read_image(store, version, platform)
            if is_base(self._store, one, base, reference, platform):
                return Finding(one, "base", f"trusted base {name}", text)
            return Finding(one, "forged", f"it is not {name}", text)
        except LinealError:
            if vouched:
                return Finding(one, "signed", f"{vouched}; its base {name} cannot be asked for", text)
            return Finding(one, "unvouched", f"its base {name} cannot be asked for", text)


def _without_tag(reference: str) -> str:
    name = unquote(reference.partition("@")[0])
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"
