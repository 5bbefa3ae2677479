"""Finding published stages: the anchor first, a listing only when an anchor is hidden (DESIGN §5)."""

from __future__ import annotations

import enum
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lineal.source.history import Answer
from lineal.stages.visibility import History, Line, Verdict, judge
from lineal.store import Manifest, Store
from lineal.store.manifest import Record, image_digest, is_stage
from lineal.store.tags import parse_stage_tag, stage_tag

_WORKERS = 16
_NEW = "not published yet"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A published stage with the wanted checksum."""

    record: Record
    tag: str
    index: Manifest

    @property
    def digest(self) -> str:
        """Of the index: what the tag points at and what references name."""
        return self.index.digest

    def reference(self, repository: str) -> str:
        """`repository:tag@digest`."""
        return f"{repository}:{self.tag}@{self.digest}"


class Absence(enum.Enum):
    NEVER = "no such tag"
    GONE = "a tag that leads to no image any more"


@dataclass(frozen=True, slots=True)
class Finding:
    """What the store has for one checksum."""

    candidate: Candidate | None
    reason: str
    """For a hit the rule that made it visible, for a miss why there is none."""
    anchored: bool = False
    newest: int = 0
    """The highest timestamp seen for this checksum, 0 without any."""


class Lookup:
    """Asks the store for many checksums at once, then history once for all that was found."""

    def __init__(self, store: Store, line: Line, history: History) -> None:
        self.store = store
        self.line = line
        self.history = history
        self.broken: set[str] = set()
        """Digests of publications that turned out to lack a blob: they count as gone."""
        self._history_lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="lookup")

    def find(self, checksums: Sequence[str]) -> dict[str, Finding]:
        """The selected candidate of each checksum, never from memory."""
        anchors = dict(zip(checksums, self._pool.map(self._anchor, checksums), strict=True))
        found = {checksum: anchor for checksum, anchor in anchors.items() if isinstance(anchor, Candidate)}
        verdicts = dict(zip(found, self._judge(list(found.values())), strict=True))
        findings: dict[str, Finding] = {}
        hidden: dict[str, str] = {}
        for checksum, anchor in anchors.items():
            if anchor is Absence.NEVER and not self.line.dev:
                findings[checksum] = Finding(None, _NEW)
            elif isinstance(anchor, Candidate) and verdicts[checksum].answer is Answer.YES:
                findings[checksum] = Finding(anchor, verdicts[checksum].rule, True, anchor.record.created)
            elif anchor is Absence.NEVER:
                # A working tree makes no anchors: nobody else has to look behind them.
                hidden[checksum] = _NEW
            else:
                hidden[checksum] = (
                    verdicts[checksum].rule if checksum in verdicts else "its image is gone from the store"
                )
        return findings | (self._among_all(hidden) if hidden else {})

    def _among_all(self, hidden: dict[str, str]) -> dict[str, Finding]:
        """For checksums whose anchor is of no use, and why: the visible candidate with the lowest timestamp."""
        stamps: dict[str, list[int]] = {checksum: [] for checksum in hidden}
        for tag in self.store.tags():
            parsed = parse_stage_tag(tag)
            if parsed is not None and parsed[0] in stamps:
                stamps[parsed[0]].append(parsed[1])
        wanted = [(checksum, stamp) for checksum, times in stamps.items() for stamp in sorted(times)]
        read = self._pool.map(lambda item: self._candidate(stage_tag(*item), item[0]), wanted)
        candidates = [candidate for candidate in read if isinstance(candidate, Candidate)]
        verdicts = self._judge(candidates)
        findings = {}
        for checksum, times in stamps.items():
            newest = max(times, default=0)
            visible = [
                (candidate, verdict) for candidate, verdict in zip(candidates, verdicts, strict=True)
                if candidate.record.checksum == checksum and verdict.answer is Answer.YES
            ]  # fmt: skip
            if visible:
                candidate, verdict = min(visible, key=lambda pair: pair[0].record.created)
                findings[checksum] = Finding(candidate, verdict.rule, True, newest)
            else:
                findings[checksum] = Finding(None, hidden[checksum], hidden[checksum] != _NEW, newest)
        return findings

    def _judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        if not candidates:
            return []
        with self._history_lock:
            return judge([candidate.record for candidate in candidates], self.line, self.history)

    def _anchor(self, checksum: str) -> Candidate | Absence:
        return self._candidate(checksum, checksum)

    def _candidate(self, tag: str, checksum: str) -> Candidate | Absence:
        """Read a tag as a stage. Whatever is no stage of this checksum, or has lost its image, is gone."""
        manifest = self.store.manifest(tag)
        if manifest is None:
            return Absence.NEVER
        if manifest.digest in self.broken:
            return Absence.GONE
        try:
            record = Record.read(manifest)
            own = stage_tag(checksum, record.created)
            # A stage tag says when it was published: an index that says something else was put there by others.
            foreign = record.checksum != checksum or tag not in (checksum, own)
            if foreign or not is_stage(manifest) or self.store.digest(image_digest(manifest)) is None:
                return Absence.GONE
        except (ValueError, LookupError, TypeError):
            return Absence.GONE
        return Candidate(record, own, manifest)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
