"""A repository of an OCI registry as a store: a thin synchronous client of the distribution API."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from lineal.clock import Time
from lineal.errors import LinealError, MissingContent, Unreachable
from lineal.oci import Listed, Store
from lineal.oci.credential import Credential
from lineal.oci.types import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Blob, Descriptor, Manifest
from lineal.oci.verify import MAX_MANIFEST, invalid_response, is_digest, read_json, read_manifest
from lineal.store.registry.auth import LISTING, Denied, repository_scopes
from lineal.store.registry.errors import connection_error, refused
from lineal.store.registry.http import RequestFailed, Session
from lineal.store.registry.response import Response, codes
from lineal.store.registry.tag_list import TagList
from lineal.store.registry.transport import CHUNK, SMALL, Transport
from lineal.store.registry.tries import TRIES

if TYPE_CHECKING:
    from lineal.store.registry.manifest_uploads import ManifestUploads
    from lineal.store.registry.uploads import Uploads

ACCEPT = ", ".join((OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST))
_DELETED = (200, 202, 204, 404)
_TAGS_FIRST = (400, 406, 409, 412)
"""What registries say of a digest that still has tags: Artifact Registry answers 400, Artifactory 406."""


class Registry(Store):
    """One repository of one registry. Plain http on loopback or when `insecure`; `credential` is for this host only.
    So is `fallback`, which counts when nobody has logged in there.

    `host` is `name[:port]`. Requires a valid repository name (see `lineal.store.open`)."""

    def __init__(
        self,
        host: str,
        repository: str,
        *,
        address: str | None = None,
        insecure: bool = False,
        credential: Credential | None = None,
        fallback: Credential | None = None,
        environ: Mapping[str, str] | None = None,
        time: Time | None = None,
        session: Session | None = None,
        note: Callable[[str], None] = lambda _text: None,
        most_tries: int | None = None,
    ) -> None:
        """`note` takes a line for people: what is waited for. `most_tries` is for each request."""
        self.host, self.repository = host, repository
        self.address = address or f"{host}/{repository}"
        self._insecure, self._credential, self._fallback = insecure, credential, fallback
        self._environ, self._time = os.environ if environ is None else environ, time or Time()
        self._http = Transport(
            host,
            repository,
            insecure=insecure,
            environ=self._environ,
            credential=credential,
            fallback=fallback,
            time=self._time,
            session=session,
            note=note,
            most_tries=most_tries,
        )
        self._note = note
        self.traffic = self._http.traffic
        self._base = f"/v2/{repository}"
        self._pull = repository_scopes(repository, "pull")
        self._push = repository_scopes(repository, "pull", "push")
        self._deleting = repository_scopes(repository, "pull", "delete")
        self._listing = TagList(self._http, self._base, self._list, self._error)

    @cached_property
    def _uploads(self) -> Uploads:
        """A run that finds everything uploads nothing."""
        from lineal.store.registry.uploads import Uploads

        return Uploads(self._http, self.repository, self.has_blob, self._error)

    @cached_property
    def _manifests(self) -> ManifestUploads:
        from lineal.store.registry.manifest_uploads import ManifestUploads

        return ManifestUploads(self._http, self.repository, self, self._error)

    @property
    def secure(self) -> bool:
        """Whether it is spoken to in https."""
        return self._http.scheme == "https"

    def close(self) -> None:
        self._http.session.close()

    def connect(self, count: int) -> None:
        """Open so many connections beside what is done next."""
        self._http.connect(count)

    def fresh_login(self) -> Credential | None:
        """The credential for this registry, looked up anew: for a build daemon that pushes for us."""
        return self._http.auth.fresh_login()

    def sibling(self, repository: str) -> Registry:
        return Registry(
            self.host,
            repository,
            insecure=self._insecure,
            credential=self._credential,
            fallback=self._fallback,
            environ=self._environ,
            time=self._time,
            session=self._http.session,
            note=self._note,
        )

    def check_push(self) -> None:
        self._uploads.probe()

    def login(self) -> Credential | None:
        """The credential that this registry is asked with; None for anonymous requests."""
        return self._http.auth.login()

    def manifest(self, reference: str) -> Manifest | None:
        answer = self._read("GET", f"{self._base}/manifests/{reference}", accept=ACCEPT, limit=MAX_MANIFEST)
        if answer.status == 404:
            return None
        self._expect(answer, "read", 200)
        promised = [answer.headers.get("Docker-Content-Digest", ""), reference]
        return read_manifest(
            answer.body,
            answer.headers.get("Content-Type", ""),
            [text for text in promised if is_digest(text)],
            self.host,
        )

    def digest(self, reference: str) -> str | None:
        answer = self._read("HEAD", f"{self._base}/manifests/{reference}", accept=ACCEPT)
        if answer.status == 404:
            return None
        self._expect(answer, "read", 200)
        digest = answer.headers.get("Docker-Content-Digest", "")
        if not is_digest(digest):
            manifest = self.manifest(reference)
            return manifest.digest if manifest else None
        if is_digest(reference) and digest != reference:
            raise invalid_response(self.host, f"with {digest} when asked for {reference}")
        return digest

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> None:
        self._manifests.put(manifest, tag)

    def try_tag(self, manifest: Manifest, tag: str) -> bool:
        return self._manifests.try_tag(manifest, tag)

    def move_tag(self, manifest: Manifest, tag: str) -> bool:
        return self._manifests.move_tag(manifest, tag)

    def referrers(self, digest: str) -> list[dict[str, Any]] | None:
        try:
            answer = self._read("GET", f"{self._base}/referrers/{digest}", accept=OCI_INDEX, limit=MAX_MANIFEST)
        except Denied:
            return None
        if answer.status != 200 or answer.headers.get("Content-Type", "").partition(";")[0] != OCI_INDEX:
            return None
        found = read_json(answer.body, self.host).get("manifests")
        return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []

    def tags(self, prefix: str = "") -> list[str]:
        return self._listing.tags(prefix)

    def listed(self, prefix: str) -> Listed:
        return self._listing.listed(prefix)

    def whole_list(self) -> list[str] | None:
        try:
            return self._listing.whole()
        except Unreachable:
            # Who may read images and not list their tags asks for each of them.
            return None

    def has_blob(self, digest: str) -> bool:
        answer = self._read("HEAD", f"{self._base}/blobs/{digest}")
        if answer.status == 404:
            return False
        self._expect(answer, "read", 200)
        return True

    def blob(self, digest: str) -> Iterator[bytes]:
        hashed, position, tries = hashlib.sha256(), 0, self._http.tries()
        while True:
            answer = self._open_blob(digest, position)
            # A server that does not know ranges starts again: what has been handed out is skipped.
            skip = position if answer.status == 200 else 0
            try:
                for chunk in self._chunks(answer):
                    fresh = chunk[skip:]
                    skip -= len(chunk) - len(fresh)
                    hashed.update(fresh)
                    position += len(fresh)
                    if fresh:
                        yield fresh
                break
            except RequestFailed as error:
                if not tries.again():
                    raise connection_error(self.host, error) from None
        if f"sha256:{hashed.hexdigest()}" != digest:
            raise invalid_response(self.host, f"with content that is not {digest} when asked for it")

    def expect_blobs(self, count: int) -> None:
        self._uploads.expect(count)

    def put_blob(self, blob: Blob) -> None:
        self._uploads.put(blob)

    def mount_blob(self, descriptor: Descriptor, source: Store) -> bool:
        if not isinstance(source, Registry) or source.host != self.host:
            return False
        if source.repository == self.repository:
            return self.has_blob(descriptor.digest)
        return self._uploads.mount(descriptor, source.repository)

    def delete(self, digest: str, tags: Sequence[str] = ()) -> None:
        answer = self._delete(digest)
        if tags and answer.status in _TAGS_FIRST and all(self._delete(tag).status in _DELETED for tag in tags):
            answer = self._delete(digest)
        self._expect(answer, "delete", *_DELETED)
        if tags and self.digest(tags[0]) == digest:
            # Some keep a tag's own copy.
            for tag in tags:
                self._expect(self._delete(tag), "delete", *_DELETED)

    def check_delete(self) -> None:
        """Ask for the right to delete here, by a digest that nothing has. Raises `Unreachable` when there is none."""
        self.delete(f"sha256:{os.urandom(32).hex()}")

    def mounts(self, digest: str) -> bool:
        """Whether the registry takes blobs over from one repository to another, asked with one that is here."""
        return self._uploads.mount(Descriptor("", digest, 0), self.repository)

    def _delete(self, reference: str) -> Response:
        return self._http.ask("DELETE", f"{self._base}/manifests/{reference}", self._deleting)

    def sweep(self) -> int | None:
        return None

    def now(self) -> int:
        clock = self._http.clock
        if not clock.known:
            self._http.ask("GET", "/v2/", self._pull)
        return clock.now()

    def _list(self, where: str, *, limit: int, tries: int = TRIES) -> Response:
        """A page of tags. Who may read images and not list their tags is told so."""
        try:
            return self._read("GET", where, limit=limit, tries=tries, doing=LISTING)
        except Denied as error:
            denied = error
        self.digest("latest")  # Raises for who may read nothing there.
        raise denied

    def _read(
        self,
        method: str,
        where: str,
        *,
        accept: str = "*/*",
        limit: int = SMALL,
        tries: int = TRIES,
        doing: str = "read",
    ) -> Response:
        """Ask for something small. 401 and 403 raise `Denied`."""
        asked = partial(self._http.ask, method, where, headers={"Accept": accept}, limit=limit, tries=tries)
        try:
            return self._readable(asked(self._pull), doing)
        except Denied:
            if not self._http.auth.known:
                raise
            with suppress(Denied):
                # Docker Hub denies reading a repository that does not exist yet, except to who may write (make) it.
                return self._readable(asked(self._push), doing)
            raise

    def _readable(self, answer: Response, doing: str) -> Response:
        if answer.status in (401, 403):
            raise self._error(answer, doing)
        return answer

    def _open_blob(self, digest: str, position: int) -> Response:
        headers = {"Range": f"bytes={position}-"} if position else {}
        answer = self._http.ask("GET", f"{self._base}/blobs/{digest}", self._pull, headers=headers, stream=True)
        if answer.status == 404:
            raise MissingContent(digest, self.address)
        self._expect(answer, "read", 200, *([206] if position else []))
        return answer

    def _chunks(self, answer: Response) -> Iterator[bytes]:
        if answer.stream is None:
            return
        try:
            for chunk in answer.stream.chunks(CHUNK):
                self._http.count(read=len(chunk))
                yield chunk
        finally:
            answer.stream.close()

    def _expect(self, answer: Response, doing: str, *statuses: int) -> None:
        if answer.status not in statuses:
            raise self._error(answer, doing)

    def _error(self, answer: Response, doing: str) -> LinealError:
        if answer.status in (401, 403) and not answer.foreign and not answer.limited:
            denied = self._http.auth.denied(doing)
            _, message = codes(answer.body)
            if message:
                denied.message = f"{denied.message} It says: {message!r}."
            return denied
        return refused(self.host, self.repository, answer, doing, answer.pause(self._time))
