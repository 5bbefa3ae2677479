"""Publishing finished images: blobs, manifests, then tags, in every final repository at once.

What is there is not sent again. A tag that names a version is written once; a moving tag goes to `moving_tag`. A run
that is stopped or refused on its way has written whole images and some of their tags, and the next one goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import field
from typing import TypeVar

from lineal.errors import BuildFailed, LinealError, Problems, Unreachable
from lineal.oci import Store
from lineal.oci.image import whole
from lineal.oci.types import Manifest
from lineal.publish.final_repository import FinalRepository
from lineal.publish.moving_tag import Move
from lineal.publish.tag_templates import Tag
from lineal.report.model import TagOutcome, TagReport
from lineal.store.copy import blobs_of
from lineal.value import dataclass

T = TypeVar("T")
Mover = Callable[[Store, str, Manifest], Move]
"""`MovingTags.move`."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A finished image that is to be in one repository under these tags."""

    image: str
    manifest: Manifest
    repository: FinalRepository
    tags: Sequence[Tag]
    parts: Sequence[Manifest] = ()
    """The images of an index."""

    @property
    def images(self) -> Sequence[Manifest]:
        return self.parts or (self.manifest,)


@dataclass(slots=True)
class Outcome:
    """What there was of a placement, and what became of its tags so far."""

    placement: Placement
    there: bool
    digests: dict[str, str | None]
    """The digest that each tag named before."""
    tags: list[TagReport] = field(default_factory=list)


def look(placements: Sequence[Placement], pool: Executor) -> list[Outcome]:
    """What is there already; nothing is written."""
    return list(pool.map(_look, placements))


def _look(placement: Placement) -> Outcome:
    store = placement.repository.store
    digests = {tag.name: store.digest(tag.name) for tag in placement.tags}
    named = placement.manifest.digest in digests.values()
    return Outcome(placement, named or placement.repository.has(placement.manifest), digests)


def publish(
    placements: Sequence[Placement], source: Store, move: Mover, pool: Executor, *, overwrite: bool = False,
    told: Callable[[Sequence[Outcome]], None] = lambda _: None, attach: Callable[[Placement], None] = lambda _: None,
) -> list[Outcome]:  # fmt: skip
    """Write what is missing of all placements. `source` is the store that the images are in, `told` gets the
    outcomes, also when this raises; `attach` is given each image that is there, before its tags are written.
    `overwrite`: a version tag that names another image is moved.

    Raises `BuildFailed` for a version tag that names another image, before anything is written, and `Unreachable` for
    a repository that refuses something; the message says what was written."""
    outcomes = look(placements, pool)
    told(outcomes)
    if not overwrite:
        _refuse_other_versions(outcomes)
    work = [one for one in outcomes if not _is_done(one)]
    check({one.placement.repository for one in work}, pool)
    missing = [one.placement for one in work if not one.there]
    images = [(place, image) for place in missing for image in place.images]
    blobs = {(place.repository, blob.digest): blob for place, image in images for blob in blobs_of(image, source)}
    with whole():
        _each(pool, lambda item: item[0][0].take_blob(item[1]), blobs.items())
    _each(pool, lambda item: item[0].repository.store.put_manifest(item[1]), images)
    _each(pool, lambda place: place.repository.store.put_manifest(place.manifest), missing)
    _each(pool, attach, [one.placement for one in work])
    tags = [(one, tag) for one in outcomes for tag in one.placement.tags]
    written = pool.map(lambda item: _write_tag_or_fail(item[0], item[1], move), tags)
    failures: list[tuple[TagReport, LinealError]] = []
    for one, report, failure in written:
        one.tags.append(report)
        failures += [(report, failure)] if failure is not None else []
    if failures:
        raise _refusal(outcomes, failures)
    return outcomes


def check(repositories: Iterable[FinalRepository], pool: Executor) -> None:
    """Raises for all repositories that this run may not write to, at once."""

    def checked(repository: FinalRepository) -> LinealError | None:
        try:
            repository.check()
        except LinealError as error:
            return error
        return None

    problems = Problems()
    for error in pool.map(checked, sorted(repositories, key=lambda one: one.address)):
        if error is not None:
            problems.add(error)
    problems.end()


def _each(pool: Executor, do: Callable[[T], object], items: Iterable[T]) -> None:
    list(pool.map(do, items))


def _is_done(one: Outcome) -> bool:
    """Whether nothing has to be written."""
    return one.there and all(digest == one.placement.manifest.digest for digest in one.digests.values())


def _refuse_other_versions(outcomes: Sequence[Outcome]) -> None:
    problems = Problems()
    for one in outcomes:
        for tag in one.placement.tags:
            there = one.digests[tag.name]
            if tag.kind == "version" and there not in (None, one.placement.manifest.digest):
                problems.add(_other_version(one, tag, there))
    problems.end()


def _other_version(one: Outcome, tag: Tag, there: str | None) -> BuildFailed:
    place = one.placement
    return BuildFailed(
        f"{place.repository.address}:{tag.name} is {there} already, and the image {place.image} of this commit is "
        f"{place.manifest.digest}: a tag that names a version is written once.",
        id="LN-5026",
        remedy="Give this commit a version of its own, or move the tag with --overwrite-tag.",
    )


def _write_tag_or_fail(one: Outcome, tag: Tag, move: Mover) -> tuple[Outcome, TagReport, LinealError | None]:
    """One that is refused keeps no other from being written."""
    try:
        return one, _write_tag(one, tag, move), None
    except LinealError as error:
        return one, _told(one, tag, "refused", error.message), error


def _write_tag(one: Outcome, tag: Tag, move: Mover) -> TagReport:
    place, there = one.placement, one.digests[tag.name]
    if tag.kind == "version" and there == place.manifest.digest:
        return _told(one, tag, "there")
    if tag.kind == "version" and there is None:
        now = place.repository.write_once(tag.name, place.manifest)
        if now != place.manifest.digest:
            raise _other_version(one, tag, now)
        return _told(one, tag, "written")
    moved = move(place.repository.store, tag.name, place.manifest)
    first = moved.outcome == "moved" and moved.before is None
    return _told(one, tag, "written" if first else moved.outcome, moved.reason)


def _told(one: Outcome, tag: Tag, outcome: TagOutcome, reason: str = "") -> TagReport:
    return TagReport(repository=one.placement.repository.address, name=tag.name, outcome=outcome, reason=reason)


def _refusal(outcomes: Sequence[Outcome], failures: Sequence[tuple[TagReport, LinealError]]) -> LinealError:
    """The first failure, with what was written before and beside it; the others behind it."""
    (tag, first), *others = failures
    if isinstance(first, BuildFailed):
        error: LinealError = first
    else:
        done = [told.reference for one in outcomes for told in one.tags if told.outcome in ("written", "moved")]
        written = f" Written were: {', '.join(done)}." if done else " No tag was written."
        error = Unreachable(
            f"The tag {tag.reference} was not taken: {first.message}{written}",
            id="LN-4034",
            remedy=f"{first.remedy or 'Look at the registry.'} Then run the job again: it goes on from here.",
        )
    error.others = tuple(other for _, other in others)
    return error
