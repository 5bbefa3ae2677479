"""Finding published stages: the anchor first, a listing only when an anchor is hidden (DESIGN §5)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING

from lineal.clock import Time
from lineal.git.history import Ancestry
from lineal.oci import Store
from lineal.oci.types import Manifest
from lineal.stages.ahead import Ahead, Key
from lineal.stages.candidate import Candidate
from lineal.stages.eligibility import Eligibility
from lineal.stages.lane import CLOSED, Lane
from lineal.stages.visibility import DEV_PREFIX
from lineal.store.record import image_digest, read_stage, record_digest
from lineal.store.tags import parse_stage_tag, stage_tag
from lineal.trust.judge import Judge
from lineal.trust.mark import is_marked
from lineal.value import dataclass

if TYPE_CHECKING:
    from concurrent.futures import Executor

GRACE = 3.0
"""Seconds until a write that another run based on an earlier read is visible to us (see `stages/publish.py`)."""
RECENT = 0.5
"""Seconds for which a list of all tags answers for checksums that it does not have."""
_YOUNG = 30_000
"""A publication younger than this (ms) may still lose to a lower timestamp. It is larger than any clock error plus
the longest pause of a run."""
_WORKERS = 16
_AHEAD = 24
"""Anchors that are asked for at once: of a run that finds everything these are two round trips, for all together."""
_LIST = ("", "")
"""The list of all tags, among the questions that are asked ahead."""
_CHECKSUM = 64
"""Letters with which all tags of a stage begin."""
_NEW = "not published yet"
LOST = "its image is gone from the store"


class Miss(enum.Enum):
    NEVER = "no such tag"
    GONE = "a tag that leads to no image any more"


@dataclass(frozen=True, slots=True)
class Resolution:
    """The answer of the store for one checksum."""

    candidate: Candidate | None
    reason: str
    """For a hit the rule that made it visible, for a miss its cause."""
    anchored: bool = False
    newest: int = 0
    """The highest timestamp seen for this checksum, 0 without any."""
    young: bool = False
    """The candidate was chosen by its timestamp so soon after its publication that a lower timestamp may still
    appear; see `Lookup.settle`."""


@dataclass(frozen=True, slots=True)
class Publications:
    """Every publication of one checksum, as a run sees them that has just published its own."""

    anchored: bool
    """Whether an anchor tag exists, usable or not."""
    anchor_digest: str | None
    """The digest of the anchor's publication, None when that publication is incomplete."""
    selected: Candidate | None
    """The selection of later runs of this history: the anchor's publication if visible, else the lowest visible
    timestamp."""
    claims: tuple[Candidate, ...]
    """Every publication that could become the anchor, the lowest timestamp first."""
    listed: bool
    """Whether the list of tags already contains the run's own tag."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a run saw of a checksum before it publishes, and when it began to look."""

    finding: Resolution
    began: float
    taken: str | None = None
    """The digest at the tag that it is about to write."""


class Lookup:
    """Asks the store for many checksums at once, then history once for all that was found."""

    def __init__(
        self, store: Store, eligibility: Eligibility, pool: Executor | None = None, time: Time | None = None, *,
        lane: Lane = CLOSED,
    ) -> None:  # fmt: skip
        self.store, self.eligibility, self.lane = store, eligibility, lane
        self.time = time or Time()
        self.broken: set[str] = set()
        """Digests of publications that turned out to lack a blob: they count as gone."""
        self._tags: list[str] | None = None
        self._seen: dict[str, Candidate] = {}
        """Candidates by stage tag, as this run has read them. Stage tags never move."""
        self._recent: tuple[float, frozenset[str]] | None = None
        """When a list of all tags was true, and what these begin with."""
        self._expected, self._lists = self._nothing_expected(), self._no_list_expected()
        """What anchors say that are asked for already, by tag and checksum; and the list of all tags."""
        self._young_at = 0.0
        if pool is not None:
            self.pool = pool

    def _nothing_expected(self) -> Ahead[Candidate | Miss]:
        return Ahead(_AHEAD, self._submit)

    def _no_list_expected(self) -> Ahead[list[str] | None]:
        return Ahead(1, self._submit)

    def _submit(self, work: Callable[[], None]) -> None:
        self.pool.submit(work)

    @cached_property
    def pool(self) -> Executor:
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(_WORKERS, thread_name_prefix="lookup")

    def expect(
        self, checksums: Iterable[str], *, read: bool = False, below: Callable[[str], Iterable[str]] = lambda _: ()
    ) -> None:
        """Begin to ask for the anchors of what `find` will be called for, beside what the caller does until then.
        `read`: those that `find` is called for are going to be read, and it begins with that. `below` gives what is
        asked for as soon as a checksum misses."""
        asked = [(tag, checksum) for checksum in checksums for tag in self.lane.anchors(checksum)]

        def ask(pair: Key) -> Candidate | Miss:
            found = self._anchor(*pair) if read else self._candidate(*pair)
            if self._is_missing(found):
                # Before anybody hears of the miss, and asks by itself.
                self.expect(below(pair[1]), read=True)
            return found

        self._expected.expect(ask, asked)

    def expect_absent(self) -> None:
        """Begin to ask for the list that `absent` needs."""
        self._lists.expect(self._whole_list, [_LIST])

    def forget(self) -> None:
        """What is expected still and was not asked for is not to answer later."""
        self._expected, self._lists = self._nothing_expected(), self._no_list_expected()

    def _is_missing(self, found: Candidate | Miss) -> bool:
        """Whether the answer of one anchor tells that there is no such stage."""
        return found is Miss.NEVER and not self.lane.others

    def find(
        self, checksums: Sequence[str], missed: Callable[[], object] = lambda: None,
        reading: Callable[[], object] | None = None,
    ) -> dict[str, Resolution]:  # fmt: skip
        """The selected candidate of each checksum; behind hidden anchors by one list of tags for the whole run.
        `missed` is called for each that misses, beside what is still asked; `reading` while those that are there and
        were expected to be read are, with their records."""
        return self._find(checksums, self._listing, missed, reading)

    def absent(self, checksums: Iterable[str]) -> dict[str, Resolution] | None:
        """Those of many that are not published, where one list of all tags tells it."""
        ((_, tags),) = self._lists.answers(self._whole_list, [_LIST])
        if tags is None:
            return None
        begun = {tag[:_CHECKSUM] for tag in tags}
        return {checksum: Resolution(None, _NEW) for checksum in checksums if checksum not in begun}

    def find_now(self, checksum: str) -> Resolution:
        """The same for one checksum, asked for now, by a list of tags of this moment."""
        for tag in self.lane.anchors(checksum):
            self._expected.forget((tag, checksum))
        return self._find([checksum], lambda: self.store.tags(checksum))[checksum]

    def look(self, checksum: str, tag: str, *, anew: bool = False) -> Look:
        """The same for a run that is about to publish under a stage tag. Unless it is to look `anew`, the list on
        which its last claim was tells, too, moments later, that there is nothing."""
        began, recent = self.time.monotonic(), self._recent
        if not anew and recent is not None and began - recent[0] < RECENT and checksum not in recent[1]:
            return Look(Resolution(None, _NEW), recent[0])
        taken = self.pool.submit(self.store.digest, tag)
        return Look(self.find_now(checksum), began, taken.result())

    def settle(self, findings: Mapping[str, Resolution]) -> dict[str, Resolution]:
        """A second look at checksums whose lowest timestamp was chosen moments ago; returns the resolutions that
        changed.

        A run that looked just before the choice may have taken a lower timestamp. By now it has written it, or looks
        again and finds what was chosen."""
        young = {checksum: finding.candidate for checksum, finding in findings.items() if finding.young}
        if not young:
            return {}
        self.time.sleep(max(0.0, self._young_at + GRACE - self.time.monotonic()))
        found = {checksum: self.find_now(checksum) for checksum in young}
        return {
            checksum: finding for checksum, finding in found.items() if _differ(finding.candidate, young[checksum])
        }

    def survey(self, own: Candidate, written: float) -> Publications:
        """Everything that a run which has published `own` needs, to agree with all others (see `stages/publish.py`).
        Its tag was not `written` before that time.

        The list is read before the anchor: a run that is missing on the list comes later, and will find the
        anchor. Who finds itself alone on the list need not ask for an anchor: nobody can have written one."""
        checksum = own.record.checksum
        listed = self.store.listed(checksum)
        tags = [tag for tag in listed.tags if tag.startswith(checksum)]
        if listed.whole and own.tag in tags:
            # A list that has a tag is no older than that.
            self._recent = written, frozenset(tag[: len(checksum)] for tag in listed.tags)
        others = sorted(tag for tag in tags if parse_stage_tag(tag) is not None and tag != own.tag)
        if own.tag in tags and not others and self.lane.anchor(checksum) not in tags:
            return Publications(False, None, own, (own,), listed=True)
        read = self.pool.map(lambda tag: self._stage(tag, checksum), self.eligibility.affordable(checksum, others))
        self._young_at = self.time.monotonic()
        candidates = sorted([own, *_whole(read)], key=lambda candidate: candidate.record.created)
        anchor = self._candidate(self.lane.anchor(checksum), checksum)
        if isinstance(anchor, Candidate):
            candidates = [anchor, *candidates]
        verdicts = zip(candidates, self.eligibility.verdicts(candidates), strict=True)
        visible = [candidate for candidate, verdict in verdicts if verdict.answer is Ancestry.YES]
        return Publications(
            anchored=anchor is not Miss.NEVER,
            anchor_digest=anchor.digest if isinstance(anchor, Candidate) else None,
            selected=visible[0] if visible else None,
            claims=tuple(candidate for candidate in candidates if self._is_claim(candidate)),
            listed=own.tag in tags,
        )

    def beside_it(self, judge: Judge, lane: Lane) -> Lookup:
        """A look at the same store from the same commit that believes others."""
        found = Lookup(self.store, self.eligibility.under(judge), self.pool, self.time, lane=lane)
        found.broken = self.broken
        return found

    def close(self) -> None:
        if "pool" in vars(self):
            self.pool.shutdown(wait=False, cancel_futures=True)

    def _whole_list(self, _: Key) -> list[str] | None:
        return self.store.whole_list()

    def _listing(self) -> list[str]:
        if self._tags is None:
            self._tags = self.store.tags()
        return self._tags

    def _find(
        self, checksums: Sequence[str], tags: Callable[[], list[str]], missed: Callable[[], object] = lambda: None,
        reading: Callable[[], object] | None = None,
    ) -> dict[str, Resolution]:  # fmt: skip
        asked = [(tag, checksum) for checksum in checksums for tag in self.lane.anchors(checksum)]
        said: dict[Key, Candidate | Miss] = {}
        for pair, answer in self._expected.answers(lambda pair: self._candidate(*pair), asked):
            said[pair] = answer
            if self._is_missing(answer):
                missed()
        said |= self._read(said, reading)
        found = {pair: anchor for pair, anchor in said.items() if isinstance(anchor, Candidate)}
        verdicts = dict(zip(found, self.eligibility.verdicts(list(found.values())), strict=True))
        findings: dict[str, Resolution] = {}
        hidden: dict[str, str] = {}
        for checksum in checksums:
            anchors = [(tag, checksum) for tag in self.lane.anchors(checksum)]
            there = [pair for pair in anchors if said[pair] is not Miss.NEVER]
            unusable = [pair for pair in there if pair not in found or verdicts[pair].answer is not Ancestry.YES]
            if there and not unusable:
                first = min(there, key=lambda pair: found[pair].record.created)
                anchor, rule = found[first], verdicts[first].rule
                # Its own lane may just be choosing an anchor with a lower timestamp.
                young = first != anchors[0] and self._is_young(anchor)
                findings[checksum] = Resolution(anchor, rule, True, anchor.record.created, young)
            elif unusable:
                hidden[checksum] = verdicts[unusable[0]].rule if unusable[0] in verdicts else LOST
            elif self.eligibility.line.dev:
                # Builds of a working tree write no anchors, so other runs need not look behind them.
                hidden[checksum] = _NEW
            else:
                findings[checksum] = Resolution(None, _NEW)
        return findings | (self._among(tags(), hidden) if hidden else {})

    def _among(self, tags: Sequence[str], hidden: dict[str, str]) -> dict[str, Resolution]:
        """The usable candidate with the lowest timestamp for each checksum whose anchor cannot be used. `hidden` has
        the cause by checksum."""
        listed: dict[str, list[str]] = {checksum: [] for checksum in hidden}
        for tag in sorted(tags):
            parsed = parse_stage_tag(tag)
            if parsed is not None and parsed[0] in listed:
                listed[parsed[0]].append(tag)
        wanted = [
            (tag, checksum)
            for checksum, every in listed.items()
            for tag in self.eligibility.affordable(checksum, every)
        ]
        candidates = _whole(self.pool.map(lambda pair: self._stage(*pair), wanted))
        verdicts = self.eligibility.verdicts(candidates)
        findings = {}
        for checksum in listed:
            of_it = [pair for pair in zip(candidates, verdicts, strict=True) if pair[0].record.checksum == checksum]
            usable = [pair for pair in of_it if pair[1].answer is Ancestry.YES]
            newest = self.eligibility.newest(listed[checksum], [candidate for candidate, _ in of_it])
            if usable:
                candidate, verdict = min(usable, key=lambda pair: pair[0].record.created)
                findings[checksum] = Resolution(candidate, verdict.rule, True, newest, self._is_young(candidate))
            else:
                findings[checksum] = Resolution(None, hidden[checksum], hidden[checksum] != _NEW, newest)
        return findings

    def _is_claim(self, candidate: Candidate) -> bool:
        """Whether runs of this lane may have made it, and may make it their anchor."""
        if candidate.record.branch.startswith(DEV_PREFIX) or (not self.lane.marked and is_marked(candidate.index)):
            return False
        return not self.eligibility.doubt(candidate)

    def _is_young(self, candidate: Candidate) -> bool:
        young = abs(self.store.now() - candidate.record.created) < _YOUNG and not self.eligibility.line.dev
        if young:
            self._young_at = self.time.monotonic()
        return young

    def _stage(self, tag: str, checksum: str) -> Candidate | Miss:
        known = self._seen.get(tag)
        if known is not None and known.digest not in self.broken:
            return known
        found = self._candidate(tag, checksum)
        if isinstance(found, Candidate):
            self._seen[tag] = found
        return found

    def _candidate(self, tag: str, checksum: str) -> Candidate | Miss:
        """Read a tag as a stage. A tag that names no stage of this checksum, or a stage without its image, counts as
        gone."""
        found = self._anchor(tag, checksum)
        if isinstance(found, Miss) or found.looked:
            return found
        there = self.store.digest(image_digest(found.index)) is not None
        return replace(found, looked=True) if there else Miss.GONE

    def _read(
        self, said: Mapping[Key, Candidate | Miss], reading: Callable[[], object] | None
    ) -> dict[Key, Candidate | Miss]:
        """Those of which nobody has looked whether the image is there, with its manifest."""
        found = {pair: one for pair, one in said.items() if isinstance(one, Candidate) and not one.looked}
        if not found:
            return {}
        images = self.pool.map(self.store.manifest, [image_digest(one.index) for one in found.values()])
        records: Iterable[Manifest | None] = repeat(None, len(found))
        if reading is not None:
            records = self.pool.map(self.store.manifest, [record_digest(one.index) for one in found.values()])
            reading()
        return {
            pair: replace(one, image=image, document=document, looked=True) if image else Miss.GONE
            for (pair, one), image, document in zip(found.items(), images, records, strict=True)
        }

    def _anchor(self, tag: str, checksum: str) -> Candidate | Miss:
        """The same before it is looked whether the image is there."""
        manifest = self.store.manifest(tag)
        if manifest is None:
            return Miss.NEVER
        if manifest.digest in self.broken:
            return Miss.GONE
        found = read_stage(manifest, tag, checksum)
        if found is None:
            return Miss.GONE
        candidate = Candidate(found[0], stage_tag(checksum, found[0].created), manifest)
        if self.eligibility.doubt(candidate):
            # It is never used, so nobody need ask for its image.
            return candidate
        return replace(candidate, looked=False)


def _whole(read: Iterable[Candidate | Miss]) -> list[Candidate]:
    return [candidate for candidate in read if isinstance(candidate, Candidate)]


def _differ(one: Candidate | None, other: Candidate | None) -> bool:
    return one is not None and (other is None or one.tag != other.tag)
