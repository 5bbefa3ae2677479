"""Finished images of a run: where they go is checked before anything is built, then they are published or found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from lineal.build.result import NOT_BUILT, BuildResult, ImageReference
from lineal.errors import MissingContent
from lineal.report.model import TagOutcome, TagReport
from lineal.stages.candidate import Candidate
from lineal.stages.plan import BuildPlan
from lineal.store.record import image_digest, image_platform

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from lineal.dockerfile.stage import Stage
    from lineal.oci import Store
    from lineal.oci.types import Image, Manifest
    from lineal.publish.final_repository import FinalRepository
    from lineal.publish.moving_tag import Move, MovingTags
    from lineal.publish.platform_index import Finished
    from lineal.publish.publication import Publication
    from lineal.publish.publish import Outcome, Placement
    from lineal.session.session import Session


class Finishing:
    """The finished images of one run. Nothing is done for a project without `publish`, and nothing by a run that may
    not write, or is about a working tree or a stranger's commit: its images stay those of the store."""

    def __init__(self, session: Session) -> None:
        """Raises `BadConfiguration` when `publish` is wrong, whether or not this run may publish."""
        self._session = session
        self._idle = self._reason() if session.publications else None
        self._wanted: Mapping[str, Publication] = self._untagged() if self._idle else session.publications
        self._finals: dict[str, FinalRepository] = {}

    def _reason(self) -> str | None:
        """Why a run publishes nothing."""
        if self._session.settings.dev.value:
            return "--dev builds the working tree: its images get no tags and stay in the store."
        if not self._session.context.may_write:
            return "This run may not write: it publishes no finished image and no tag."
        if not self._session.context.trusted:
            return "The commit is not this project's own: its images get no tags and stay in the store."
        return None

    def _untagged(self) -> dict[str, Publication]:
        """The images of several platforms, which are none of the stages: they stay in the store, under a tag of their
        own."""
        session, repo = self._session, self._session.store_settings.repo.value
        images = session.loaded.project.images
        return {
            name: replace(one, repositories=(repo,), tags=())
            for name, one in session.publications.items()
            if len(images[name].platforms) > 1
        }

    @classmethod
    def of(cls, session: Session, result: BuildResult) -> BuildResult:
        """The result of a run that builds nothing, with its finished images. Raises `LinealError`."""
        return cls(session).find(result)

    @property
    def publishes(self) -> bool:
        """Whether the run may publish what it finishes."""
        return self._idle is None

    def prepare(self, plan: BuildPlan) -> None:
        """Before a build: make sure that every final repository of its images takes them. Raises `LinealError`."""
        if self._idle:
            self._session.progress.note(self._idle)
        if plan.needed and self._wanted:
            from lineal.publish.publish import check

            wanted = [self._wanted[name] for name in plan.images if name in self._wanted]
            check({self._final(address) for one in wanted for address in one.repositories}, self._pool)

    def unfinished(self, result: BuildResult) -> BuildResult:
        """The result of a run that ends before it has finished anything: what is in the store is not what people get,
        and may have failed its tests."""
        return replace(result, finished=self._references({})) if self._wanted else result

    def publish(self, result: BuildResult, failed: Callable[[BuildResult], None]) -> BuildResult:
        """The result with the finished images, which are published and tagged. `failed` is told what there is when
        that ends early. Raises `LinealError`."""
        if not self._wanted:
            return result
        if not self._session.context.may_write:
            return self.find(result)
        from lineal.publish.publish import publish

        manifests = self._manifests(self._complete(result))
        placements = [place for name, manifest in manifests.items() for place in self._placements(name, manifest)]
        outcomes: list[Outcome] = []
        store, overwrite = self._session.store, self._session.settings.overwrite_tag.value
        try:
            publish(
                placements, store, self._move, self._pool, told=outcomes.extend, overwrite=overwrite,
                attach=lambda place: self._put_statements(place, result),
            )  # fmt: skip
        except BaseException:
            failed(replace(self.unfinished(result), tags=_tags(outcomes)))
            raise
        return replace(result, finished=self._references(manifests), tags=_tags(outcomes))

    def find(self, result: BuildResult, *, tags: bool = False) -> BuildResult:
        """The result with the finished images that are in their first final repository, for a run that publishes
        nothing. `tags`: with those that a build would write."""
        if not self._wanted:
            return result
        manifests = self._manifests(result)
        stores = {name: self._final(self._wanted[name].repositories[0]).store for name in manifests}
        found = list(self._pool.map(lambda name: stores[name].digest(manifests[name].manifest.digest), manifests))
        there = {name: manifests[name] for name, digest in zip(manifests, found, strict=True) if digest is not None}
        planned = self._planned(self._own(result), manifests) if tags else {}
        return replace(result, finished=self._references(there), tags=planned)

    def _own(self, result: BuildResult) -> list[str]:
        """The images that wait for no other run: those that this one would finish."""
        here = {stage.checksum for stage in result.plan.last()}
        late = {stage.checksum for stage in result.plan.absent(result.resolutions)} - here
        return [name for name, parts in result.plan.images.items() if late.isdisjoint(
            stage.checksum for stage in parts.values()
        )]  # fmt: skip

    def reference_in(self, plan: BuildPlan) -> Callable[[Candidate, Image], str | None]:
        """What another image sees of one that it needs: the reference that it will be published under. Of several
        images with one last stage, that of the first."""
        names = {
            stage.checksum: (name, stage)
            for name, parts in reversed([*plan.images.items()])
            for stage in parts.values()
            if name in self._wanted and len(parts) == 1
        }

        def reference(candidate: Candidate, image: Image) -> str | None:
            # An index may be there long after the part that another image of this run needs.
            if candidate.record.checksum not in names:
                return None
            name, stage = names[candidate.record.checksum]
            finished = self._finished(name, {stage.platform: (stage, candidate, image.manifest)})
            return str(self._references({name: finished})[name])

        return reference

    # --- the parts ----------------------------------------------------------------------------------------------

    def _complete(self, result: BuildResult) -> BuildResult:
        """The result without the images that wait for another run: those with a part that is not there, and those
        that require such an image."""
        plan = result.plan
        absent = {stage.checksum: stage for stage in plan.absent(result.resolutions)}
        if not absent:
            return result
        waits = {
            name: [
                stage.platform
                for stage in (*parts.values(), *plan.sboms.get(name, {}).values())
                if stage.checksum in absent
            ]
            for name, parts in plan.images.items()
        }
        requires = {name: self._session.loaded.project.images[name].requires for name in plan.images}
        ready = {name: parts for name, parts in plan.images.items() if not waits[name]}
        while late := [name for name in ready if any(one not in ready for one in requires[name])]:
            for name in late:
                del ready[name]
        for name in self._wanted.keys() & plan.images.keys() - ready.keys():
            of = next((one for one in (name, *requires[name]) if waits[one]), name)
            what = f"{', '.join(waits[of])}{f' of {of}' if of != name else ''}"
            self._session.progress.note(f"waiting    {name} is finished by the run that builds {what}")
        return replace(result, plan=replace(plan, images=ready))

    def _manifests(self, result: BuildResult) -> dict[str, Finished]:
        """The finished images of which every part is there."""
        there = {name: parts for name, parts in result.stages().items() if name in self._wanted}
        candidates = {one.digest: one for parts in there.values() for one in parts.values()}
        images = dict(zip(candidates, self._pool.map(self._stage_image, candidates.values()), strict=True))
        plan = result.plan.images
        return {
            name: self._finished(name, {
                platform: (plan[name][platform], candidate, images[candidate.digest])
                for platform, candidate in parts.items()
            })
            for name, parts in there.items()
        }  # fmt: skip

    def _finished(self, name: str, parts: Mapping[str, tuple[Stage, Candidate, Manifest]]) -> Finished:
        from lineal.publish.finished_image import finished_image, labels_of
        from lineal.publish.platform_index import Part, finished

        wanted, page = self._wanted[name].annotations, self._session.web_address
        labels = [labels_of(stage) for stage, _, _ in parts.values()]
        vouched = self._session.lookup.eligibility.vouched
        made = {
            platform: Part(
                finished_image(image, vouched(candidate), name, page, {**labels_of(stage), **wanted}),
                image_platform(candidate.index),
                vouched(candidate),
            )
            for platform, (stage, candidate, image) in parts.items()
        }
        return finished(made, name, page, {**labels[0], **wanted})

    def _put_statements(self, place: Placement, result: BuildResult) -> None:
        from lineal.commands.statements import put_statements

        put_statements(self._session, place, result)

    def _stage_image(self, candidate: Candidate) -> Manifest:
        store, digest = self._session.store, image_digest(candidate.index)
        found = store.manifest(digest)
        if found is None:
            raise MissingContent(digest, store.address)
        return found

    def _placements(self, name: str, finished: Finished) -> list[Placement]:
        from lineal.publish.publish import Placement

        wanted, manifest = self._wanted[name], finished.manifest
        parts = finished.images if manifest.is_index else ()
        return [
            Placement(name, manifest, self._final(address), wanted.tags_of(manifest.digest, address), parts)
            for address in wanted.repositories
        ]

    def _references(self, there: Mapping[str, Finished]) -> dict[str, ImageReference]:
        """In the first final repository of each image."""
        found = {}
        for name, wanted in self._wanted.items():
            repository = wanted.repositories[0]
            if name not in there:
                found[name] = ImageReference(repository, wanted.tags_of(NOT_BUILT)[0].name)
            else:
                manifest, parts = there[name].manifest, there[name].parts
                tag = wanted.tags_of(manifest.digest)[0].name
                found[name] = ImageReference(repository, tag, manifest.digest, manifest, parts)
        return found

    def _planned(self, names: Iterable[str], manifests: Mapping[str, Finished]) -> dict[str, list[TagReport]]:
        """The tags of all images: `there`, or `planned` where a build would write or move them."""
        from lineal.publish.publish import look

        placements = [place for name, manifest in manifests.items() for place in self._placements(name, manifest)]
        told: dict[str, list[TagReport]] = {}
        for one in look(placements, self._pool):
            place = one.placement
            for tag in place.tags:
                there = one.digests[tag.name] == place.manifest.digest
                outcome: TagOutcome = "there" if there else "planned"
                told.setdefault(place.image, []).append(_told(place.repository.address, tag.name, outcome))
        for name in (name for name in names if name in self._wanted and name not in manifests):
            wanted = self._wanted[name]
            told[name] = [
                _told(address, tag.name, "planned")
                for address in wanted.repositories
                for tag in wanted.tags_in(address)
            ]
        return told

    def _final(self, address: str) -> FinalRepository:
        from lineal.publish.final_repository import FinalRepository

        if address not in self._finals:
            session = self._session
            store = session.own_stores.final(address)
            self._finals[address] = FinalRepository(address, store, session.store, session.loaded.project.project)
        return self._finals[address]

    def _move(self, final: Store, tag: str, image: Manifest) -> Move:
        return self._moving.move(final, tag, image)

    @cached_property
    def _moving(self) -> MovingTags:
        from lineal.publish.moving_tag import MovingTags

        session = self._session
        return MovingTags(
            session.store, session.position, session.history, is_head=self._is_head,
            overwrite=session.settings.overwrite_tag.value,
        )  # fmt: skip

    def _is_head(self) -> bool:
        """Whether the remote says that this commit is the head of its branch now."""
        from lineal.git.remote import branch_head

        session = self._session
        branch = session.context.branch
        return branch is not None and branch_head(session.checkout, branch) == session.position.recorded[-1]

    @property
    def _pool(self) -> Executor:
        return self._session.lookup.pool


def _told(repository: str, tag: str, outcome: TagOutcome) -> TagReport:
    return TagReport(repository=repository, name=tag, outcome=outcome)


def _tags(outcomes: Iterable[Outcome]) -> dict[str, list[TagReport]]:
    """By image, in the order of its repositories."""
    found: dict[str, list[TagReport]] = {}
    for one in outcomes:
        found.setdefault(one.placement.image, []).extend(one.tags)
    return found
