"""Blobs on their way to a registry: uploads, begun again when they are lost or spoiled, and mounts."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from urllib.parse import urlencode

from lineal.errors import LinealError, Unreachable
from lineal.oci.types import Blob, Descriptor
from lineal.oci.verify import invalid_response
from lineal.store.registry.auth import Denied, repository_scopes
from lineal.store.registry.errors import ConnectionFailed
from lineal.store.registry.response import Response, codes
from lineal.store.registry.transport import Transport

WRITTEN = (200, 201, 202, 204)
"""What registries, and proxies before them, answer to what they took. `docker push` takes all of them."""
SECONDS = 300.0
"""A registry may copy a whole blob to its storage before it answers."""
SPOILED_TRIES = 5
"""Tries to upload a blob that a registry says is not what its digest says, though it is."""
_SMALL = 64 * 1024
_SPOILED = ("BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "SIZE_INVALID")


class Uploads:
    """The uploads to one repository. Safe to use from several threads."""

    def __init__(
        self,
        http: Transport,
        repository: str,
        has_blob: Callable[[str], bool],
        refuse: Callable[[Response, str], LinealError],
    ) -> None:
        self._http, self._repository = http, repository
        self._has_blob, self._refuse = has_blob, refuse
        self._where = f"/v2/{repository}/blobs/uploads/"
        self._scopes = repository_scopes(repository, "pull", "push")
        self._ahead: deque[Future[Response]] = deque()

    def expect(self, count: int) -> None:
        """Begin uploads of blobs that are being made: only their content is sent then."""
        for _ in range(count):
            opened: Future[Response] = Future()
            self._ahead.append(opened)
            # A run that fails meanwhile does not wait for it.
            threading.Thread(target=self._begin, args=(opened,), name="expect", daemon=True).start()

    def _begin(self, opened: Future[Response]) -> None:
        try:
            opened.set_result(self._open())
        except BaseException as error:  # noqa: BLE001 (who asks for a place anew is told)
            opened.set_exception(error)

    def put(self, blob: Blob) -> None:
        tries = self._http.tries()
        while True:
            # Sending something small costs what asking would, and it is nearly always new.
            likely = blob.size > _SMALL and not blob.new
            if (tries.number > 1 or likely) and self._has_blob(blob.digest):
                return
            try:
                answer = self._send(blob)
            except ConnectionFailed:
                if not tries.again():
                    raise
                continue
            spoiled = _is_spoiled(answer)
            # A lost session, a restarted server: begin a new upload (registries differ too much in resuming one).
            again = answer.passing or answer.status in (404, 416) or (spoiled and tries.number < SPOILED_TRIES)
            if not again or not tries.again(answer):
                self._check(answer, tries.number)
                return

    def mount(self, descriptor: Descriptor, repository: str) -> bool:
        """Take a blob over from another repository of the registry; False when it cannot do that."""
        query = urlencode({"mount": descriptor.digest, "from": repository})
        scopes = (*self._scopes, *repository_scopes(repository, "pull"))
        try:
            answer = self._http.ask("POST", f"{self._where}?{query}", scopes)
        except Denied:
            # Some registries deny instead of answering that a mount is not possible (goharbor/harbor#17097).
            return False
        if answer.status == 202 and (location := answer.headers.get("Location")):
            self._abandon(answer, location)
        if answer.passing:
            raise self._refuse(answer, "write")
        return answer.status == 201

    def probe(self) -> None:
        """Begin an upload and give it up: what every registry checks the right to write for."""
        answer = self._open()
        if answer.status not in WRITTEN:
            raise self._refuse(answer, "write")
        if location := answer.headers.get("Location"):
            self._abandon(answer, location)

    def _send(self, blob: Blob) -> Response:
        """One upload from its beginning: ask for a place, then send everything at once (every registry takes that,
        not every one takes pieces)."""
        opened = self._begun() or self._open()
        if opened.status not in WRITTEN:
            raise self._refuse(opened, "write")
        if opened.status == 201 and self._has_blob(blob.digest):
            return opened
        if not (location := opened.headers.get("Location")):
            raise invalid_response(self._http.host, "that an upload may begin, and does not say where")
        url, _ = self._http.resolve(opened.url, location, "an upload")
        url += ("&" if "?" in url else "?") + urlencode({"digest": blob.digest})
        headers = {"Content-Type": "application/octet-stream"}
        return self._http.ask("PUT", url, self._scopes, headers=headers, body=blob, tries=1, seconds=SECONDS)

    def _open(self) -> Response:
        return self._http.ask("POST", self._where, self._scopes)

    def _begun(self) -> Response | None:
        """The answer that gives a place, where that was asked for ahead."""
        with suppress(IndexError, LinealError):
            answer = self._ahead.popleft().result()
            return answer if answer.status == 202 else None
        return None

    def _check(self, answer: Response, tries: int) -> None:
        if answer.status in WRITTEN:
            return
        if not _is_spoiled(answer):
            raise self._refuse(answer, "write")
        code, message = codes(answer.body)
        raise Unreachable(
            f"{self._http.host} answers {code} to each of {tries} uploads to {self._repository}"
            f"{f', and says: {message!r}' if message else ''}.",
            id="LN-4030",
            remedy="What was sent is right: look at the registry's log and storage, and at a proxy before it.",
        )

    def _abandon(self, answer: Response, location: str) -> None:
        """Tidy away an upload that nothing is sent to, such as one in place of a mount, if the registry lets us."""
        try:
            url, foreign = self._http.resolve(answer.url, location, "an upload")
            if not foreign:
                self._http.ask("DELETE", url, self._scopes, tries=1)
        except Unreachable:
            pass


def _is_spoiled(answer: Response) -> bool:
    """Whether the registry says that an upload has wrong content: it is right, for its digest was made of it."""
    return answer.status == 400 and any(code in codes(answer.body)[0] for code in _SPOILED)
