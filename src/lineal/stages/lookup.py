"""Finding published stages: the anchor first, a listing only when an anchor is hidden (DESIGN §5)."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

from lineal.clock import Time
from lineal.git.history import Ancestry
from lineal.oci import Store
from lineal.oci.types import Manifest
from lineal.stages.visibility import DEV_PREFIX, History, HistoryPosition, Verdict, judge
from lineal.store.record import Record, read_stage
from lineal.store.tags import parse_stage_tag, stage_tag

GRACE = 3.0
"""Seconds until a write that another run based on an earlier read is visible to us (see `stages/publish.py`)."""
_YOUNG = 30_000
"""A publication younger than this (ms) may still lose to a lower timestamp. It is larger than any clock error plus
the longest pause of a run."""
_WORKERS = 16
_NEW = "not published yet"
LOST = "its image is gone from the store"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A published stage with the wanted checksum."""

    record: Record
    tag: str
    index: Manifest

    @property
    def digest(self) -> str:
        """The digest of the index, which the tag points at and references name."""
        return self.index.digest

    def reference(self, repository: str) -> str:
        """`repository:tag@digest`."""
        return f"{repository}:{self.tag}@{self.digest}"


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


class Lookup:
    """Asks the store for many checksums at once, then history once for all that was found."""

    def __init__(
        self,
        store: Store,
        line: HistoryPosition,
        history: History,
        pool: Executor | None = None,
        time: Time | None = None,
    ) -> None:
        self.store = store
        self.line = line
        self.history = history
        self.time = time or Time()
        self.broken: set[str] = set()
        """Digests of publications that turned out to lack a blob: they count as gone."""
        self._tags: list[str] | None = None
        self._seen: dict[str, Candidate] = {}
        """Candidates by stage tag, as this run has read them. Stage tags never move."""
        self._young_at = 0.0
        self._history_lock = threading.Lock()
        self.pool = pool or ThreadPoolExecutor(_WORKERS, thread_name_prefix="lookup")

    def find(self, checksums: Sequence[str]) -> dict[str, Resolution]:
        """The selected candidate of each checksum; behind hidden anchors by one list of tags for the whole run."""
        return self._find(checksums, self._listing)

    def find_now(self, checksum: str) -> Resolution:
        """The same for one checksum, by a list of tags of this moment."""
        return self._find([checksum], lambda: self.store.tags(checksum))[checksum]

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

    def survey(self, own: Candidate) -> Publications:
        """Everything that a run which has published `own` needs, to agree with all others (see `stages/publish.py`).

        The list is read before the anchor: a run that is missing on the list comes later, and will find the
        anchor."""
        checksum = own.record.checksum
        tags = self.store.tags(checksum)
        others = sorted(tag for tag in tags if parse_stage_tag(tag) is not None and tag != own.tag)
        read = self.pool.map(lambda tag: self._stage(tag, checksum), others)
        self._young_at = self.time.monotonic()
        candidates = sorted([own, *_whole(read)], key=lambda candidate: candidate.record.created)
        anchor = self._anchor(checksum)
        if isinstance(anchor, Candidate):
            candidates = [anchor, *candidates]
        verdicts = zip(candidates, self._judge(candidates), strict=True)
        visible = [candidate for candidate, verdict in verdicts if verdict.answer is Ancestry.YES]
        return Publications(
            anchored=anchor is not Miss.NEVER,
            anchor_digest=anchor.digest if isinstance(anchor, Candidate) else None,
            selected=visible[0] if visible else None,
            claims=tuple(candidate for candidate in candidates if not candidate.record.branch.startswith(DEV_PREFIX)),
            listed=own.tag in tags,
        )

    def _listing(self) -> list[str]:
        if self._tags is None:
            self._tags = self.store.tags()
        return self._tags

    def _find(self, checksums: Sequence[str], tags: Callable[[], list[str]]) -> dict[str, Resolution]:
        anchors = dict(zip(checksums, self.pool.map(self._anchor, checksums), strict=True))
        found = {checksum: anchor for checksum, anchor in anchors.items() if isinstance(anchor, Candidate)}
        verdicts = dict(zip(found, self._judge(list(found.values())), strict=True))
        findings: dict[str, Resolution] = {}
        hidden: dict[str, str] = {}
        for checksum, anchor in anchors.items():
            if anchor is Miss.NEVER and not self.line.dev:
                findings[checksum] = Resolution(None, _NEW)
            elif isinstance(anchor, Candidate) and verdicts[checksum].answer is Ancestry.YES:
                findings[checksum] = Resolution(anchor, verdicts[checksum].rule, True, anchor.record.created)
            elif anchor is Miss.NEVER:
                # Builds of a working tree write no anchors, so other runs need not look behind them.
                hidden[checksum] = _NEW
            else:
                hidden[checksum] = verdicts[checksum].rule if checksum in verdicts else LOST
        return findings | (self._among(tags(), hidden) if hidden else {})

    def _among(self, tags: Sequence[str], hidden: dict[str, str]) -> dict[str, Resolution]:
        """The visible candidate with the lowest timestamp for each checksum whose anchor cannot be used. `hidden` has
        the cause by checksum."""
        stamps: dict[str, list[int]] = {checksum: [] for checksum in hidden}
        for tag in tags:
            parsed = parse_stage_tag(tag)
            if parsed is not None and parsed[0] in stamps:
                stamps[parsed[0]].append(parsed[1])
        wanted = [(checksum, stamp) for checksum, times in stamps.items() for stamp in sorted(times)]
        read = self.pool.map(lambda item: self._stage(stage_tag(*item), item[0]), wanted)
        candidates = _whole(read)
        verdicts = self._judge(candidates)
        findings = {}
        for checksum, times in stamps.items():
            newest = max(times, default=0)
            visible = [
                (candidate, verdict) for candidate, verdict in zip(candidates, verdicts, strict=True)
                if candidate.record.checksum == checksum and verdict.answer is Ancestry.YES
            ]  # fmt: skip
            if visible:
                candidate, verdict = min(visible, key=lambda pair: pair[0].record.created)
                findings[checksum] = Resolution(candidate, verdict.rule, True, newest, self._is_young(candidate))
            else:
                findings[checksum] = Resolution(None, hidden[checksum], hidden[checksum] != _NEW, newest)
        return findings

    def _judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        if not candidates:
            return []
        with self._history_lock:
            return judge([candidate.record for candidate in candidates], self.line, self.history)

    def _is_young(self, candidate: Candidate) -> bool:
        young = abs(self.store.now() - candidate.record.created) < _YOUNG and not self.line.dev
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

    def _anchor(self, checksum: str) -> Candidate | Miss:
        return self._candidate(checksum, checksum)

    def _candidate(self, tag: str, checksum: str) -> Candidate | Miss:
        """Read a tag as a stage. A tag that names no stage of this checksum, or a stage without its image, counts as
        gone."""
        manifest = self.store.manifest(tag)
        if manifest is None:
            return Miss.NEVER
        if manifest.digest in self.broken:
            return Miss.GONE
        found = read_stage(manifest, tag, checksum)
        if found is None or self.store.digest(found[1]) is None:
            return Miss.GONE
        return Candidate(found[0], stage_tag(checksum, found[0].created), manifest)

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)


def _whole(read: Iterable[Candidate | Miss]) -> list[Candidate]:
    return [candidate for candidate in read if isinstance(candidate, Candidate)]


def _differ(one: Candidate | None, other: Candidate | None) -> bool:
    return one is not None and (other is None or one.tag != other.tag)
