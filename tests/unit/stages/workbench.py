"""A context and a store in memory, and a history that says what it is told: for tests of planning and stages."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lineal.context.build_context import BuildContext
from lineal.context.dockerignore import Ignore
from lineal.context.listing import Listing
from lineal.dockerfile.plan_request import PlanRequest
from lineal.dockerfile.planner import plan
from lineal.dockerfile.stage import Parts, Stage
from lineal.errors import BadConfiguration, MissingContent
from lineal.git.commit import Commit
from lineal.git.history import Ancestry, HistoryAnswer
from lineal.git.lfs import Pointer
from lineal.oci import Conflict, Listed, Store, Traffic
from lineal.oci.image import image_of
from lineal.oci.types import Blob, Descriptor, Manifest
from lineal.stages.publish import Built
from lineal.stages.visibility import HistoryPosition
from lineal.store.record import Record, record_documents, stage_index
from lineal.store.tags import anchor_tag, stage_tag

FILE, SCRIPT, LINK = "100644", "100755", "120000"
Files = Mapping[str, str | tuple[str, str]]
"""path: content, or (git mode, content)."""


class Objects:
    """The `CommitFiles` of a context in memory: contents by the ids that git would give them."""

    def __init__(self) -> None:
        self.root = Path("/nowhere")
        self._contents: dict[str, bytes] = {}

    def pointer(self, path: str, oid: str) -> None:
        """Nothing is kept by Git LFS."""

    def content(self, path: str, pointer: Pointer) -> Iterator[bytes]:
        raise AssertionError(f"no pointer: {path}")

    def oid(self, path: str) -> str:
        """There are no attributes above the context."""
        return ""

    def entry(self, path: str) -> tuple[str, str]:
        """There is nothing outside of the context."""
        return "", ""

    def ignored_by(self, paths: Sequence[str], *, every: bool = False) -> str:
        """There is no .gitignore."""
        return ""

    def files_on_disk(self, folder: str) -> list[str]:
        """There is no working tree."""
        return []

    def submodule(self, path: str, commit: str) -> Commit:
        raise BadConfiguration(f"The submodule {path} is not here.", id="LN-3009")

    def add(self, content: bytes) -> str:
        oid = hashlib.sha1(b"blob %d\0%s" % (len(content), content)).hexdigest()
        self._contents[oid] = content
        return oid

    def object(self, oid: str) -> bytes:
        return self._contents[oid]

    def stream(self, oid: str) -> Iterator[bytes]:
        yield self._contents[oid]

    def sizes(self, oids: Iterable[str]) -> dict[str, int]:
        return {oid: len(self._contents[oid]) for oid in oids}


def context(files: Files, ignore: str = "", folder: str = ".") -> BuildContext:
    """The real context tree over files that no git holds."""
    objects = Objects()
    entries: dict[str, tuple[str, str]] = {}
    for name, value in files.items():
        mode, content = (FILE, value) if isinstance(value, str) else value
        path = name if folder == "." else f"{folder}/{name}"
        for parent in Path(path).parents:
            if str(parent) != ".":
                entries[str(parent)] = ("040000", "0" * 40)
        entries[path] = (mode, objects.add(content.encode("utf-8", "surrogateescape")))
    listing = [(path, *entry) for path, entry in sorted(entries.items())]
    return BuildContext(objects, folder, Listing(listing), Ignore(ignore, file=".dockerignore"))


def planned(
    dockerfile: str,
    files: Files | None = None,
    *,
    ignore: str = "",
    folder: str = ".",
    platform: str = "linux/amd64",
    name: str = "app",
    file: str = "Dockerfile",
    **options: Any,
) -> Stage:
    """The last stage of one image."""
    tree = context(files or {}, ignore, folder)
    return plan(PlanRequest(name=name, file=file, text=dockerfile, context=tree, platform=platform, **options))


def parts(images: Mapping[str, Stage]) -> dict[str, Parts]:
    """Images of one platform each."""
    return {name: {last.platform: last} for name, last in images.items()}


def stages(last: Stage) -> list[Stage]:
    """An image's stages in the order of the Dockerfile."""
    return list(reversed(list(last.chain())))


class MemoryStore(Store):
    """A repository in memory. `immutable`: a tag that exists is refused, as a good registry does."""

    def __init__(self, *, immutable: bool = True, before: Callable[[str], None] = lambda _: None) -> None:
        self.address = "registry.test/app"
        self.traffic = Traffic()
        self.immutable = immutable
        self.before = before
        """Called at the start of every request that is about a tag."""
        self.blobs: dict[str, bytes] = {}
        self.tagged: dict[str, str] = {}
        self.manifests: dict[str, Manifest] = {}
        self.moved: list[str] = []
        """Tags that were pointed at something else."""
        self.asked: list[str] = []
        self.clock = 1_700_000_000_000
        self._guard = threading.Lock()

    def _request(self, what: str, reference: str) -> None:
        self.asked.append(f"{what} {reference}".strip())
        if not reference.startswith("sha256:"):
            self.before(what)

    def manifest(self, reference: str) -> Manifest | None:
        self._request("manifest", reference)
        return self.manifests.get(self.tagged.get(reference, reference))

    def digest(self, reference: str) -> str | None:
        self._request("digest", reference)
        found = self.manifests.get(self.tagged.get(reference, reference))
        return found.digest if found else None

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        self._request("put", tag or manifest.digest)
        with self._guard:
            existing = self.tagged.get(tag or "")
            if existing not in (None, manifest.digest):
                if self.immutable:
                    raise Conflict(f"{tag} exists")
                self.moved.append(str(tag))
            self.manifests[manifest.digest] = manifest
            if tag is not None:
                self.tagged[tag] = manifest.digest

    def try_tag(self, manifest: Manifest, tag: str) -> bool:
        self.put_manifest(manifest, tag)
        return True

    def listed(self, prefix: str) -> Listed:
        return Listed(self.tags(), whole=True)

    def tags(self, prefix: str = "") -> list[str]:
        self._request("tags", "")
        return sorted((tag for tag in self.tagged if tag.startswith(prefix)), reverse=True)

    def has_blob(self, digest: str) -> bool:
        return digest in self.blobs

    def blob(self, digest: str) -> Iterator[bytes]:
        if digest not in self.blobs:
            raise MissingContent(digest, self.address)
        yield self.blobs[digest]

    def put_blob(self, blob: Blob) -> None:
        with blob.open() as file:
            self.blobs[blob.digest] = file.read()

    def mount_blob(self, descriptor: Descriptor, source: Store) -> bool:
        return False

    def delete(self, digest: str, tags: Sequence[str] = ()) -> None:
        self._request("delete", digest)
        with self._guard:
            self.manifests.pop(digest, None)
            self.tagged = {tag: led for tag, led in self.tagged.items() if led != digest}

    def sweep(self) -> int | None:
        return None

    def now(self) -> int:
        self._request("now", "")
        return self.clock


class Says:
    """A history: which commits are in it, and which commit has which tree."""

    def __init__(
        self, commits: Collection[str] = (), trees: Mapping[str, str] | None = None, *, complete: bool = True
    ) -> None:
        self.commits, self.trees, self.complete = set(commits), dict(trees or {}), complete
        self.asked: list[tuple[set[str], set[str]]] = []

    def seek(
        self, commits: Collection[str], trees: Collection[str], *, since: int | None = None,
        either: Iterable[tuple[Sequence[str], str]] = (),
    ) -> HistoryAnswer:  # fmt: skip
        self.asked.append((set(commits), set(trees)))
        missing = Ancestry.NO if self.complete else Ancestry.UNKNOWN
        return HistoryAnswer(
            {commit: Ancestry.YES if commit in self.commits else missing for commit in commits},
            {tree: self.trees.get(tree) for tree in trees},
            self.complete,
        )


def oid(letter: str) -> str:
    """A commit or tree id that is easy to read."""
    return letter * 40


SUM = "5a" * 32
HERE = HistoryPosition(oid("c"), oid("d"), "main")


def record(
    *commits: str, checksum: str = SUM, tree: str = oid("f"), branch: str = "main", created: int = 1_600_000_000_000
) -> Record:
    return Record(checksum, commits or (oid("c"),), tree, branch, created, "", "shop", "1")


def built(text: str = "") -> Built:
    """A stage without layers; other texts, other images."""
    image = image_of({"config": {"Labels": {"text": text}}, "rootfs": {"type": "layers", "diff_ids": []}}, [])
    return Built(image, b"index of " + text.encode(), {"text": text}, "linux/amd64")


def put(store: Store, found: Record, text: str = "", *, anchor: bool = False) -> Manifest:
    """Publish without asking anybody, as an earlier run would have left it."""
    made = built(text)
    blobs, beside = record_documents(found, made.inputs, made.filesystem, made.image.manifest.digest)
    for blob in (Blob.of(made.image.config), *blobs):
        store.put_blob(blob)
    for manifest in (made.image.manifest, beside):
        store.put_manifest(manifest)
    index = stage_index(made.image, beside, found, made.platform)
    store.put_manifest(index, stage_tag(found.checksum, found.created))
    if anchor:
        store.put_manifest(index, anchor_tag(found.checksum))
    return index
