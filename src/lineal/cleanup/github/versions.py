"""What goes with a stage on GitHub: its index, its image and its record are a version of the package each.

GitHub collects no garbage: an image and a record stay for ever unless they are deleted by themselves, and they must
not be while an index that stays names them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from functools import cached_property
from threading import Lock

from lineal.cleanup.github.packages import Kept, Packages, Version
from lineal.cleanup.retention import Deletion
from lineal.oci import Store
from lineal.oci.types import DOCKER_LIST, OCI_INDEX, Manifest
from lineal.oci.verify import is_digest
from lineal.store.gc import GRACE
from lineal.store.record import told
from lineal.text import plural

_FALLBACK = re.compile(r"sha256-([0-9a-f]{64})\b")
"""The tag that stands for the referrers of a manifest where a registry cannot list them."""
_INDEXES = (OCI_INDEX, DOCKER_LIST)


class VersionRemoval:
    """Deletes stages as versions of a package; `used` are the digests that must stay whatever leads to them."""

    def __init__(
        self, store: Store, packages: Packages, used: Collection[str], pool: Executor, warn: Callable[[str], None]
    ) -> None:
        self._store, self._packages, self._used = store, packages, used
        self._pool, self._warn = pool, warn
        self._one_at_a_time = Lock()
        self._images: set[str] = set()
        self._records: set[str] = set()
        """The digests that the deleted indexes named, and those of records that no index names."""

    def delete(self, deletions: Sequence[Deletion]) -> Iterator[Deletion]:
        """Delete the indexes of stages; gives each stage when it is gone. Raises `Unreachable`."""
        kept: Counter[str] = Counter()
        for one in deletions:
            if any(self._has_other_tags(digest, tags) for digest, tags in one.digests.items()):
                continue  # Somebody has just tagged it.
            try:
                for digest in one.digests:
                    self._delete(digest)
            except Kept as reason:
                kept[str(reason)] += 1
            else:
                yield one
        for why, count in kept.items():
            self._warn(f"{plural(count, 'stage')} cannot be deleted. GitHub says: {why!r}")

    def sweep(self) -> str:
        """Delete the images and records that no tag leads to any more. Raises `Unreachable`."""
        gone, kept = 0, Counter[str]()
        for version in self._garbage():
            try:
                self._packages.delete(version)
                gone += 1
            except Kept as reason:
                kept[str(reason)] += 1
        for why, count in kept.items():
            self._warn(f"{plural(count, 'image')} cannot be deleted. GitHub says: {why!r}")
        return f"{gone} images and records deleted; GitHub can restore what was deleted for 30 days"

    def forget(self, digest: str, tags: Sequence[str]) -> None:
        """Delete one manifest that is no stage; one that GitHub keeps stays. Raises `Unreachable`."""
        with self._one_at_a_time, suppress(Kept):
            if not self._has_other_tags(digest, tags):
                self._delete(digest)

    @cached_property
    def _versions(self) -> dict[str, Version]:
        """By digest, as they were before anything was deleted."""
        return {version.digest: version for version in self._packages.versions()}

    def _has_other_tags(self, digest: str, tags: Sequence[str]) -> bool:
        return digest in self._versions and not set(self._versions[digest].tags) <= set(tags)

    def _delete(self, digest: str) -> None:
        index = self._store.manifest(digest)
        version = self._versions.get(digest)
        if version is not None:
            self._packages.delete(version)
        children = _children(index) if index else []
        self._images |= set(children[:1])
        self._records |= set(children[1:])

    def _garbage(self) -> list[Version]:
        """Lineal's own versions that have no tag and that none leads to; those of the last hour stay, for a run may
        be about to publish them. Records go last: as long as one is there, its image is found again."""
        if not self._store.tags():
            return []
        versions, before = self._packages.versions(), self._store.now() - GRACE * 1000
        loose = {one.digest: one for one in versions if not one.tags and one.changed < before}
        for digest in [*self._used, *self._named_by_tags(versions)]:
            loose.pop(digest, None)
        self._find_records(loose)
        images, records = (
            [loose[digest] for digest in sorted(found & loose.keys())] for found in (self._images, self._records)
        )
        return images + records

    def _named_by_tags(self, versions: Iterable[Version]) -> set[str]:
        """The digests that every version with a tag leads to, and every tag that is new by now."""
        tagged = [version for version in versions if version.tags]
        known = {tag for version in tagged for tag in version.tags}
        referred = {f"sha256:{match[1]}" for tag in known if (match := _FALLBACK.match(tag))}
        wave = {version.digest for version in tagged} | (set(self._store.tags()) - known)
        found: set[str] = set()
        while wave:
            found |= wave
            manifests = [manifest for manifest in self._pool.map(self._store.manifest, wave) if manifest is not None]
            for manifest in manifests:
                found |= {manifest.digest, _subject(manifest), *_children(manifest)}
            wave = {digest for manifest in manifests for digest in _children(manifest, *_INDEXES)} - found
        return found | referred

    def _find_records(self, loose: Iterable[str]) -> None:
        """Add the records that an earlier cleanup, or a run that was killed, left behind, with their images."""
        asked = [digest for digest in loose if digest not in self._images | self._records]
        for digest, manifest in zip(asked, self._pool.map(self._store.manifest, asked), strict=True):
            found = told(self._store, manifest) if manifest else None
            if found is not None:
                self._records.add(digest)
                self._images.add(found.image)


def _children(manifest: Manifest, *kinds: str) -> list[str]:
    """The digests that an index names, those of some media types only; none for an image."""
    entries = manifest.json.get("manifests") if manifest.is_index else []
    wanted = [entry for entry in entries or [] if isinstance(entry, dict)]
    digests = [entry.get("digest") for entry in wanted if not kinds or entry.get("mediaType") in kinds]
    return [digest for digest in digests if isinstance(digest, str) and is_digest(digest)]


def _subject(manifest: Manifest) -> str:
    subject = manifest.json.get("subject")
    return str(subject.get("digest", "")) if isinstance(subject, dict) else ""
