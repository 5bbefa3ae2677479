"""Moving a tag of a final repository forward along history, never back (DESIGN G11).

What a tag points at does not say which commit moved it last: commits that change nothing in an image share its
digest, and its annotations tell of the first of them. So the store remembers. Before a run moves a tag it writes a
claim, a tag of the store whose name says the moving tag, the digest, the time and the commit. The tag is *at* the
commits of the claims that name the digest it points at.

No registry can compare and swap, so the order of the steps keeps runs apart: write a claim, look, write the tag. A
run that does not see this claim looked before, and writes within `GRACE`, for which this run waits. A run that sees
the claim of a commit that is not behind its own does not write. The claim of a run that died is withdrawn by others,
who then wait again. docs/guarantees.md says what this rests on; tests/simulation tries it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Literal

from lineal.clock import Time
from lineal.errors import Unreachable
from lineal.git.history import Ancestry
from lineal.oci import Conflict, Store
from lineal.oci.types import Blob, Manifest
from lineal.publish.claim import branch_of, claim_documents, revision_of
from lineal.stages.lookup import GRACE
from lineal.stages.publish import DEAD, LOOK, own_digits
from lineal.stages.visibility import History, HistoryPosition
from lineal.store.tags import Claim, claim_key, parse_claim, short_digest
from lineal.value import dataclass

LIVE = 60_000
"""Milliseconds on the store's clock for which a claim may still lead to a write."""
_RENEW = 30.0
"""Seconds after which a run makes a new claim before it writes: long before others count the old one as past."""
_POLL = (0.25, 1.0)
"""Seconds between two looks, the first and the longest."""
_HOLDERS = 10
"""So many claims of one image are compared with this commit: hundreds of commits may change nothing in an image."""
_LOOKS = 64
_WRITES = 16
_PATIENCE = 3
_SPREAD = 1000


@dataclass(frozen=True, slots=True)
class Move:
    """What became of a tag. `moved`: this run has pointed it at the image; `there`: it pointed there already;
    `left`: it was left alone, for this reason."""

    outcome: Literal["moved", "there", "left"]
    reason: str = ""
    """For people, without the tag's name: `it is at 1a2b3c4, which is not in the history of this commit`."""
    before: str | None = None
    """The digest that the tag pointed at when the run came, None when there was no such tag."""


class MovingTags:
    """Moves tags for one run. Safe to use from several threads, for several tags at once."""

    def __init__(
        self, store: Store, position: HistoryPosition, history: History, *, time: Time | None = None,
        overwrite: bool = False, is_head: Callable[[], bool] = lambda: False, digits: int | None = None,
    ) -> None:  # fmt: skip
        """`store` keeps the memory of moves, beside the stages. `overwrite` (--overwrite-tag) moves whatever history
        says. `is_head` asks the forge whether this commit is the head of its branch at this moment, which decides
        after a forced push; it is asked only then. `digits` (0 to 999) end the times of this run's claims."""
        self.store = store
        self.time = time or Time()
        self.overwrite = overwrite
        self.is_head = is_head
        self.branch = position.branch
        self.commit = position.recorded[-1]
        """The commit of this run's claims; for a pull request's merge ref the request's own."""
        self.digits = own_digits() if digits is None else digits
        self._history = history
        self._asking = threading.Lock()
        self._answers = dict.fromkeys([position.commit, *position.parents], Ancestry.YES)

    def move(self, final: Store, tag: str, image: Manifest) -> Move:
        """Point `tag` at the finished image, if that is forward. The image's manifest (or index) is in `final`
        already, by its digest, with everything below it.

        Raises `Unreachable` when the registry does not take the tag."""
        return _Mover(self, final, tag, image).run()

    def ancestry(self, commits: Collection[str], since: int | None) -> dict[str, Ancestry]:
        """Whether each of the commits is this run's or an ancestor of it."""
        with self._asking:
            asked = set(commits) - self._answers.keys()
            if asked:
                self._answers |= self._history.seek(asked, (), since=since).ancestors
            return {commit: self._answers[commit] for commit in commits}


@dataclass(frozen=True, slots=True)
class _Look:
    """The moving tag and its claims, at one moment."""

    at: str | None
    """The digest that the tag points at."""
    standing: tuple[Claim, ...]
    withdrawn: tuple[Claim, ...]

    @property
    def holders(self) -> list[Claim]:
        """The newest claims whose image the tag points at; older ones are behind these. One that was withdrawn too
        late counts where no other does."""
        standing = [claim for claim in self.standing if claim.names(self.at)]
        return (standing or [claim for claim in self.withdrawn if claim.names(self.at)])[-_HOLDERS:]


class _Mover:
    """One moving tag in one run."""

    def __init__(self, run: MovingTags, final: Store, tag: str, image: Manifest) -> None:
        self._run, self._store, self._time = run, run.store, run.time
        self._final, self._tag, self._image = final, tag, image
        repository = "" if final.address == run.store.address else final.address
        self._key = claim_key(repository, tag)
        self._repository = final.address
        self._own: Claim | None = None
        self._mine: set[Claim] = set()
        """Every claim that this run has made and that stands."""
        self._claimed = 0.0
        self._since: float | None = None
        """When this run's claim was first seen in the list: whoever does not see it has looked before."""
        self._first_seen: dict[Claim, float] = {}
        self._overruled: set[Claim] = set()
        self._stranger: str | None = None
        self._before: str | None = None
        self._writes, self._late, self._poll = 0, 0, _POLL[0]

    def run(self) -> Move:
        for number in range(_LOOKS):
            looked = self._time.monotonic()
            # The tag is read before the list: who has moved it has made its claim before.
            at = self._final.digest(self._tag)
            if number == 0:
                self._before = at
            if self._writes and at == self._image.digest:
                return self._done("moved")
            seen = self._look(at)
            move = self._outcome(seen)
            if move is not None:
                return move
            blockers = self._ahead(self._live(seen.standing))
            if blockers:
                self._give_way(blockers)
            elif self._has_claim(seen) and self._is_alone(seen):
                if seen.at == self._image.digest:
                    return self._done("there")
                if self._fresh(looked):
                    self._write()
        self._withdraw(self._mine)
        return Move("left", "other runs are moving it just now, for commits that are not in the history of this one",
                    self._before)  # fmt: skip

    # --- looking ------------------------------------------------------------------------------------------------

    def _look(self, at: str | None) -> _Look:
        found = [parsed for tag in self._store.tags(self._key) if (parsed := parse_claim(tag)) is not None]
        claims = {claim for claim, withdrawal in found if not withdrawal and claim.key == self._key}
        withdrawn = {claim for claim, withdrawal in found if withdrawal}
        return _Look(at, tuple(sorted(claims - withdrawn, key=_order)), tuple(sorted(withdrawn & claims, key=_order)))

    def _live(self, claims: Iterable[Claim]) -> list[Claim]:
        """The claims of other runs that may still lead to a write."""
        now = self._store.now()
        return [claim for claim in claims if abs(now - claim.created) < LIVE and claim not in self._mine]

    def _outcome(self, seen: _Look) -> Move | None:
        """How it ends, None while there is something to do."""
        there = seen.at == self._image.digest
        holders = seen.holders
        if seen.at is not None and not holders:
            if self._stranger != seen.at:
                # The list may be older than the tag.
                self._stranger = seen.at
                self._time.sleep(GRACE)
                return None
            reason = self._stranger_reason(seen.at)
        else:
            reason = self._reason(self._ahead(holders))
        if reason:
            self._withdraw(self._mine)
            outcome: Literal["moved", "there", "left"] = "there" if there else "moved" if self._writes else "left"
            return Move(outcome, reason, self._before)
        if there and self._own is None and any(claim.commit == self._run.commit for claim in holders):
            return self._done("there")
        return None

    # --- history ------------------------------------------------------------------------------------------------

    def _ahead(self, claims: Sequence[Claim]) -> list[Claim]:
        """The claims of commits that are not behind this one."""
        since = min((claim.created for claim in claims), default=None)
        answers = self._run.ancestry({claim.commit for claim in claims}, since)
        ahead = [claim for claim in claims if answers[claim.commit] is not Ancestry.YES]
        if ahead and self._overrules(ahead):
            self._overruled.update(ahead)
            return []
        return ahead

    def _overrules(self, claims: Sequence[Claim]) -> bool:
        """Whether this commit counts as later than these, although history does not say so: on request, or because
        their branch was pushed by force and this commit is its head now."""
        if self._run.overwrite:
            return True
        branch = self._run.branch
        if not branch or any(branch_of(self._store.manifest(claim.tag)) != branch for claim in claims):
            return False
        return self._run.is_head()

    def _reason(self, ahead: Sequence[Claim]) -> str:
        if not ahead:
            return ""
        claim = ahead[-1]
        return _reason_of(claim.commit, self._run.ancestry([claim.commit], claim.created)[claim.commit])

    def _stranger_reason(self, digest: str) -> str:
        """The same for a tag that no claim explains: what its image says of itself counts."""
        if self._run.overwrite:
            return ""
        commit = revision_of(self._final, digest)
        if commit is None:
            return "it points at an image that Lineal did not put there, and that does not say its commit"
        answer = self._run.ancestry([commit], None)[commit]
        return "" if answer is Ancestry.YES else _reason_of(commit, answer)

    # --- claims -------------------------------------------------------------------------------------------------

    def _has_claim(self, seen: _Look) -> bool:
        """Whether others can see a claim of this run; else one is made."""
        now = self._time.monotonic()
        if self._own is None or self._own in seen.withdrawn or now - self._claimed > _RENEW:
            self._claim()
            return False
        if self._own in seen.standing:
            return True
        if now - self._claimed > GRACE:
            self._put_claim(self._own)
        else:
            self._pause()
        return False

    def _claim(self) -> None:
        least = max(self._store.now(), self._own.created + 1 if self._own else 0)
        created = least + (self._run.digits - least) % _SPREAD
        self._own = Claim(self._key, short_digest(self._image.digest), created, self._run.commit)
        self._put_claim(self._own)

    def _put_claim(self, claim: Claim) -> None:
        blobs, manifest = self._documents(claim)
        for blob in blobs:
            self._store.put_blob(blob)
        self._mine.add(claim)
        self._since, self._claimed = None, self._time.monotonic()
        with suppress(Conflict):
            self._store.try_tag(manifest, claim.tag)

    def _documents(self, claim: Claim) -> tuple[list[Blob], Manifest]:
        return claim_documents(claim, self._repository, self._tag, self._image.digest, self._run.branch)

    def _withdraw(self, claims: Iterable[Claim]) -> None:
        """Say beside these claims that they count no more."""
        for claim in list(claims):
            manifest = self._documents(claim)[1] if claim in self._mine else self._store.manifest(claim.tag)
            if manifest is not None:
                with suppress(Conflict):
                    self._store.try_tag(manifest, claim.withdrawal)
            self._mine.discard(claim)

    def _give_way(self, blockers: Sequence[Claim]) -> None:
        """Let the runs of these claims go first. Two that block each other: the earlier claim stays. The claims of
        runs that do nothing any more are withdrawn for them, and the waiting begins anew."""
        if self._own in self._mine and _order(blockers[0]) < _order(self._own):
            self._withdraw(self._mine)
        now = self._time.monotonic()
        dead = [claim for claim in blockers if now - self._first_seen.setdefault(claim, now) >= DEAD]
        self._withdraw(dead)
        if dead:
            self._since = None
        else:
            self._pause()

    # --- writing ------------------------------------------------------------------------------------------------

    def _is_alone(self, seen: _Look) -> bool:
        """Whether every write of a run that did not see this run's claim has been carried out; else wait for it."""
        now = self._time.monotonic()
        if self._since is None:
            self._since = now
        others = [claim for claim in self._live([*seen.standing, *seen.withdrawn]) if not self._same(claim)]
        if not others or now - self._since >= GRACE:
            return True
        self._time.sleep(self._since + GRACE - now)
        return False

    def _same(self, claim: Claim) -> bool:
        return claim.names(self._image.digest)

    def _fresh(self, looked: float) -> bool:
        """Whether the run may still act on a look of that moment. After several late looks in a row it may: the
        registries are always that slow."""
        late = self._time.monotonic() - looked > LOOK
        self._late = self._late + 1 if late else 0
        return not late or self._late > _PATIENCE

    def _write(self) -> None:
        where = f"{self._final.address}:{self._tag}"
        if self._writes == _WRITES:
            raise Unreachable(
                f"{where} did not take the image in {_WRITES} tries.",
                id="LN-4036",
                remedy="Look at the registry's own log, and run the job again.",
            )
        self._writes += 1
        try:
            self._final.move_tag(self._image, self._tag)
        except Conflict:
            raise Unreachable(
                f"{where} should move, and the registry does not let tags move.",
                id="LN-4037",
                remedy="Except this tag from the registry's rule, or remove its template from `publish.tags`.",
            ) from None

    def _done(self, outcome: Literal["moved", "there"]) -> Move:
        """The tag points at the image. Claims of the same image that were overruled count no more."""
        self._withdraw(claim for claim in self._overruled if self._same(claim))
        return Move(outcome, "", self._before)

    def _pause(self) -> None:
        self._time.sleep(self._poll)
        self._poll = min(self._poll * 1.5, _POLL[1])


def _order(claim: Claim) -> tuple[int, str, str]:
    return claim.created, claim.commit, claim.digest


def _reason_of(commit: str, answer: Ancestry) -> str:
    if answer is Ancestry.UNKNOWN:
        return f"it is at {commit[:7]}, and the history here does not tell whether that is an ancestor of this commit"
    return f"it is at {commit[:7]}, which is not in the history of this commit"
