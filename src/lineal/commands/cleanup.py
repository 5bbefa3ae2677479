"""`lineal cleanup`: who stays, then the deletion of the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lineal.cleanup.refs import Ref, counted, read_heads, read_wanted
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
)
from lineal.errors import LinealError, Unreachable
from lineal.oci import Store
from lineal.store.tags import parse_stage_tag
from lineal.text import printable

if TYPE_CHECKING:
    from lineal.session.session import Session

_WORKERS = 8


def clean_up(run: Session, show: Callable[[str], None]) -> None:
    """Delete what nobody needs; `show` is given the stage tags, a line each, as they go."""
    if not run.context.may_write:
        raise LinealError("This run may not write (a pull request from a fork), so it deletes nothing.",
                          remedy="Run the cleanup on a branch of the project itself.")  # fmt: skip
    run.progress.note(f"store      {run.repo.value}  {run.repo.origin}")
    with _pool() as pool:
        tags, heads, census = _census(run, pool)
        dry = run.options.flag("dry-run").value
        for line in _summary(census, heads, run.days_kept.value):
            run.progress.note(line)
        if dry:
            show("".join(_lines(census.doomed)))
            run.progress.note(f"would go   {_stages(census.doomed)}; nothing is deleted  --dry-run")
            return
        gone: list[Deletion] = []
        try:
            for one in pool.map(lambda one: delete(run.store, one), recheck(run.store, tags, census.doomed, pool)):
                gone.append(one)
                show("".join(_lines([one])))
        finally:
            run.progress.note(f"deleted    {_stages(gone)}")
    _check(run.store, gone)
    _free(run)


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="cleanup")
    try:
        yield pool
    finally:
        # What has begun ends, nothing else begins: also after Ctrl-C.
        pool.shutdown(wait=True, cancel_futures=True)


def _census(run: Session, pool: ThreadPoolExecutor) -> tuple[Tags, list[Ref], RetentionPlan]:
    """First the tags and then the branches: who publishes for a branch has pushed it before."""
    tags = Tags.of(run.store.tags())
    heads = read_heads(run.checkout, run.options.many("ignore-ref"))
    wanted = read_wanted(run, heads)
    days = run.days_kept.value
    since = run.store.now() - days * DAY if days else 10**15
    # What is checked out says whose this is: a branch that calls itself another project must not delete its stages.
    census = plan_retention(run.store, tags, tags.young(since), wanted.checksums, _used(run, pool),
                            run.loaded.project.project, since, pool)  # fmt: skip
    if wanted.deploys and not _contexts(run):
        run.progress.warn("This project deploys, and no --kube-context was given: images that only a cluster still "
                          "uses are kept by their age alone.")  # fmt: skip
    if census.strangers:
        names = ", ".join(printable(name) for name in sorted(census.strangers)[:5])
        run.progress.warn(f"Stages of other projects ({names}) are in this store and stay. What they share with this "
                          "project cannot be known: give each project a store of its own.")  # fmt: skip
    return tags, heads, census


def _used(run: Session, pool: Executor) -> set[str]:
    """What clusters use and bundles name."""
    used: set[str] = set()
    for context in _contexts(run):
        from lineal.cleanup.cluster_usage import in_use

        used |= in_use(context, run.options.environ)
    if run.store.directory is None:
        from lineal.cleanup.bundle_usage import in_bundles

        used |= in_bundles(run.store, pool)
    return used


def _contexts(run: Session) -> list[str]:
    given = run.options.text("kube-context").value.split("\n")
    return [context.strip() for context in given if context.strip()]


def recheck(store: Store, known: Tags, doomed: list[Deletion], pool: Executor) -> list[Deletion]:
    """Those that are as they were: whoever publishes or tags a stage at this moment keeps it."""
    if not doomed:
        return []
    now = Tags.of(store.tags())
    tagged = set(pool.map(store.digest, sorted(set(now.others) - set(known.others))))
    return [
        one for one in doomed
        if set(now.ours.get(one.checksum, ())) <= set(known.ours[one.checksum]) and tagged.isdisjoint(one.digests)
    ]  # fmt: skip


def delete(store: Store, one: Deletion) -> Deletion:
    for digest in one.digests:
        store.delete(digest)
    return one


def _check(store: Store, gone: list[Deletion]) -> None:
    """A registry may say yes and do nothing."""
    deleted = {tag: one.digests for one in gone for tag in one.tags}
    for tag in set(store.tags()) & deleted.keys() if gone else ():
        if store.digest(tag) in deleted[tag]:
            raise Unreachable(
                f"{store.address} said that it deleted {tag}, and the tag still leads there.",
                remedy="Look at the registry's own log and its rules for deleting.",
            )


def _free(run: Session) -> None:
    freed = run.store.sweep()
    if freed is None:
        run.progress.note("space      is freed by the registry's own garbage collection")
    else:
        run.progress.note(f"space      {freed / 1e6:.1f} MB freed")


def _summary(census: RetentionPlan, heads: list[Ref], days: int) -> Iterator[str]:
    branches, tags = counted(heads)
    reasons = {
        YOUNG: f"published in the last {days} days",
        WANTED: f"wanted by {branches} and {tags}",
        USED: "used in a cluster or named by a bundle",
        TAGGED: "have another tag",
        FOREIGN: "are not this project's",
        NEEDED: "needed by those",
    }
    yield f"kept       {len(census.kept)} stages"
    for reason, text in reasons.items():
        if count := census.count(reason):
            yield f"           {count} {text}"


def _stages(doomed: list[Deletion]) -> str:
    return f"{len(doomed)} stage{'s' * (len(doomed) != 1)}"


def _lines(doomed: list[Deletion]) -> Iterator[str]:
    for one in doomed:
        yield from (f"{tag}\n" for tag in one.tags if parse_stage_tag(tag))
