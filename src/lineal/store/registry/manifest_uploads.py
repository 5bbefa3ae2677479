"""Manifests on their way to a registry: put under their digest or a tag, and again while that may succeed."""

from __future__ import annotations

from collections.abc import Callable

from lineal.errors import LinealError, MissingContent
from lineal.oci import Conflict, Store
from lineal.oci.types import Blob, Manifest
from lineal.oci.verify import invalid_response, is_digest
from lineal.store.registry.auth import repository_scopes
from lineal.store.registry.errors import ConnectionFailed
from lineal.store.registry.response import Response, codes
from lineal.store.registry.transport import Transport
from lineal.store.registry.tries import Tries
from lineal.store.registry.uploads import WRITTEN

SETTLING = 5
"""Tries to publish a manifest that a registry says lacks a blob: when two runs upload the same one at once,
docker-registry on a plain disk shows the first of them an empty file for a moment."""


class ManifestUploads:
    """Those to one repository, which is read as `store`. Safe to use from several threads."""

    def __init__(
        self, http: Transport, repository: str, store: Store, refuse: Callable[[Response, str], LinealError]
    ) -> None:
        self._http, self._store, self._refuse = http, store, refuse
        self._where = f"/v2/{repository}/manifests"
        self._scopes = repository_scopes(repository, "pull", "push")

    def put(self, manifest: Manifest, tag: str | None = None) -> None:
        tries = self._http.tries()
        while not self._try(manifest, tag, tries):
            # Another run may have been first since the last try, and this one may have done it without hearing so.
            if tag and self._is_there(manifest, tag):
                return

    def try_tag(self, manifest: Manifest, tag: str) -> bool:
        return self._try(manifest, tag, self._http.tries())

    def move_tag(self, manifest: Manifest, tag: str) -> bool:
        return self._try(manifest, tag, self._http.tries(), once=False)

    def _try(self, manifest: Manifest, tag: str | None, tries: Tries, *, once: bool = True) -> bool:
        """PUT once. False, after a pause, when another try may succeed; else raises what is wrong."""
        answer = None
        try:
            answer = self._put(manifest, tag, once=once)
        except ConnectionFailed:
            if not tries.again():
                raise
            return False
        unsettled = _unsettled(answer) and tries.number < SETTLING
        if (answer.passing or unsettled) and tries.again(answer):
            return False
        self._accept(answer, manifest, tag)
        return True

    def _accept(self, answer: Response, manifest: Manifest, tag: str | None) -> None:
        refused = answer.status in (403, 405, 409, 412) or (answer.status == 400 and _immutable(answer))
        if tag and refused and self._is_there(manifest, tag):
            return
        if answer.status in (400, 404) and "BLOB_UNKNOWN" in codes(answer.body)[0]:
            for digest in manifest.references:
                if not (self._store.digest(digest) if manifest.is_index else self._store.has_blob(digest)):
                    raise MissingContent(digest, self._store.address)
        if answer.status not in WRITTEN:
            raise self._refuse(answer, "write")
        stored = answer.headers.get("Docker-Content-Digest", manifest.digest)
        if is_digest(stored) and stored != manifest.digest:
            raise invalid_response(self._http.host, f"that it stored {stored} when given {manifest.digest}")

    def _is_there(self, manifest: Manifest, tag: str) -> bool:
        """Whether the tag points at this manifest already. Raises `Conflict` when it points at another."""
        existing = self._store.digest(tag)
        if existing not in (None, manifest.digest):
            raise Conflict(f"{self._store.address}:{tag} is {existing} and may not be moved.")
        return existing is not None

    def _put(self, manifest: Manifest, tag: str | None, *, once: bool) -> Response:
        # No registry is known to need If-None-Match, but one that heeds it makes a tag an atomic first publication.
        condition = {"If-None-Match": "*"} if tag and once else {}
        return self._http.ask(
            "PUT",
            f"{self._where}/{tag or manifest.digest}",
            self._scopes,
            headers={"Content-Type": manifest.media_type, **condition},
            body=Blob(manifest.digest, len(manifest.data), manifest.data),
            tries=1,
        )


def _immutable(answer: Response) -> bool:
    code, message = codes(answer.body)
    return "TAG_INVALID" in code or "immutable" in message.lower() or "already exists" in message.lower()


def _unsettled(answer: Response) -> bool:
    """Whether the registry says that what the manifest names is not there, or not whole."""
    found = codes(answer.body)[0]
    return "BLOB_UNKNOWN" in found or "DIGEST_INVALID" in found
