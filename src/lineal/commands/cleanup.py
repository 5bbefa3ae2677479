"""`lineal cleanup`: who stays, then the deletion of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lineal.cleanup.claims import delete_claim, old_claims
from lineal.cleanup.refs import Ref, counted, read_refs, read_wanted
from lineal.cleanup.removal import removal_of
from lineal.cleanup.retention import (
    DAY,
    FOREIGN,
    NEEDED,
    TAGGED,
    USED,
    WANTED,
    YOUNG,
    Deletion,
    RetentionPlan,
    Tags,
    plan_retention,
    recheck,
)
from lineal.commands.output import introduce_store, show
from lineal.errors import Unreachable
from lineal.oci import Store
from lineal.session.session import Session, require_write
from lineal.store.tags import Claim, parse_cache_tag, parse_stage_tag
from lineal.text import plural, printable

if TYPE_CHECKING:
    from lineal.cleanup.snapshots import SnapshotPlan

_WORKERS = 8


def clean_up(session: Session) -> None:
    """The whole command: delete the stages that have no reason to stay, and print their tags as they go.

    Raises `LinealError`."""
    require_write(session, "it deletes nothing", "Run the cleanup on a branch of the project itself.")
    introduce_store(session)
    with _pool() as pool:
        tags, refs, plan = _plan(session, pool)
        caches = _plan_snapshots(session, tags, refs, pool)
        claims = old_claims(tags.claims, session.store.now(), _since(session))
        dry = session.settings.dry_run.value
        for line in _summary(plan, refs, session.store_settings.keep_days.value):
            session.progress.note(line)
        if caches.kept:
            session.progress.note(f"           {plural(caches.kept, 'snapshot')} of cache mounts")
        if dry:
            show("".join(_lines([*plan.deletions, *caches.deletions])))
            going = f"{_stages(plan.deletions)}{_and_snapshots(caches.deletions)}{_and_claims(claims)}"
            session.progress.note(f"would go   {going}; nothing is deleted  --dry-run")
            return
        removal = removal_of(session.store, plan.used, session.settings.environ, pool, session.progress)
        gone: list[Deletion] = []
        snapshots: list[Deletion] = []
        try:
            for one in removal.delete(recheck(session.store, tags, plan.deletions, pool)):
                gone.append(one)
                show("".join(_lines([one])))
            for one in removal.delete(caches.deletions) if caches.deletions else ():
                snapshots.append(one)
                show("".join(_lines([one])))
            list(pool.map(lambda claim: delete_claim(session.store, claim, removal.forget), claims))
            session.progress.note(f"deleted    {_stages(gone)}{_and_snapshots(snapshots)}{_and_claims(claims)}")
        except BaseException:
            session.progress.note(f"deleted    {_stages(gone)}")
            raise
        _check(session.store, [*gone, *snapshots])
        session.progress.note(f"space      {removal.sweep()}")


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="cleanup")
    try:
        yield pool
    finally:
        # What has begun ends, nothing else begins: also after Ctrl-C.
        pool.shutdown(wait=True, cancel_futures=True)


def _plan(session: Session, pool: ThreadPoolExecutor) -> tuple[Tags, list[Ref], RetentionPlan]:
    """First the tags and then the branches: who publishes for a branch has pushed it before."""
    tags = Tags.of(session.store.tags())
    refs = read_refs(session.checkout, session.settings.ignored_refs.value)
    wanted = read_wanted(session, refs)
    since = _since(session)
    # What is checked out says whose this is: a branch that calls itself another project must not delete its stages.
    plan = plan_retention(session.store, tags, tags.young(since), wanted.checksums, _used(session, pool),
                          session.loaded.project.project, since, pool, wanted.unknown)  # fmt: skip
    if wanted.deploys and not session.settings.kube_contexts.value:
        session.progress.warn(
            "This project deploys, and no --kube-context was given: images that only a cluster still "
            "uses are kept by their age alone."
        )
    if session.loaded.document is None:
        session.progress.warn(
            "The commit has no lineal.yaml, so nothing tells of images that flags described (--file, --target): they "
            "are kept by their age alone. `lineal init` writes a lineal.yaml."
        )
    if plan.other_projects:
        names = ", ".join(printable(name) for name in sorted(plan.other_projects)[:5])
        session.progress.warn(
            f"Stages of other projects ({names}) are in this store and stay. What they share with this "
            "project cannot be known: give each project a store of its own."
        )
    return tags, refs, plan


def _plan_snapshots(session: Session, tags: Tags, refs: list[Ref], pool: Executor) -> SnapshotPlan:
    from lineal.cleanup.snapshots import SnapshotPlan, plan_snapshots

    if not tags.snapshots:
        return SnapshotPlan()
    project = session.loaded.project.project
    return plan_snapshots(session.store, tags.snapshots, refs, session.checkout, project, _since(session), pool)


def _since(session: Session) -> int:
    """What was published since then is young, in ms; beyond all times when nothing is."""
    days = session.store_settings.keep_days.value
    return session.store.now() - days * DAY if days else 10**15


def _used(session: Session, pool: Executor) -> set[str]:
    """The digests and stage tags that clusters use and bundles name."""
    used: set[str] = set()
    for context in session.settings.kube_contexts.value:
        from lineal.cleanup.cluster_usage import in_use

        used |= in_use(context, session.settings.environ)
    if session.store.directory is None:
        from lineal.cleanup.bundle_usage import in_bundles

        used |= in_bundles(session.store, pool)
    return used


def _check(store: Store, gone: list[Deletion]) -> None:
    """A registry may say yes and do nothing."""
    deleted = {tag: one.digests for one in gone for tag in one.tags}
    for tag in set(store.tags()) & deleted.keys() if gone else ():
        if store.digest(tag) in deleted[tag]:
            raise Unreachable(
                f"{store.address} said that it deleted {tag}, and the tag still leads there.",
                id="LN-8005",
                remedy="Look at the registry's own log and its rules for deleting.",
            )


def _summary(plan: RetentionPlan, refs: list[Ref], days: int) -> Iterator[str]:
    branches, tags = counted(refs)
    reasons = {
        YOUNG: f"published in the last {days} days",
        WANTED: f"wanted by {branches} and {tags}",
        USED: "used in a cluster or named by a bundle",
        TAGGED: "have another tag",
        FOREIGN: "are not this project's",
        NEEDED: "needed by those",
    }
    yield f"kept       {len(plan.kept)} stages"
    for reason, text in reasons.items():
        if count := plan.count(reason):
            yield f"           {count} {text}"


def _stages(deletions: list[Deletion]) -> str:
    return f"{len(deletions)} stage{'s' * (len(deletions) != 1)}"


def _and_snapshots(deletions: list[Deletion]) -> str:
    return f", {plural(len(deletions), 'snapshot')} of cache mounts" if deletions else ""


def _and_claims(claims: list[Claim]) -> str:
    return f" and {plural(len(claims), 'claim')} of moving tags" if claims else ""


def _lines(deletions: list[Deletion]) -> Iterator[str]:
    for one in deletions:
        yield from (f"{tag}\n" for tag in one.tags if parse_stage_tag(tag) or parse_cache_tag(tag))
