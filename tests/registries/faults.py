"""What else differs between registries: immutable tags, tokens, redirects, headers, and networks that fail."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import threading
from dataclasses import replace
from urllib.parse import urlsplit

from tests.registries.proxy import Answer, Dropped, Forward, Quirk, Request, refusal

USER, PASSWORD = "ada", "open sesame"


class Immutable(Quirk):
    """A tag that exists is not written again, not even with the same digest; no two writers get through at once."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.guard = threading.Lock()

    def __call__(self, request: Request, forward: Forward) -> Answer:
        if not request.tag:
            return forward(request)
        with self.guard:
            accept = {"accept": request.headers["content-type"], "host": request.headers["host"]}
            looked = forward(Request("HEAD", request.path, accept))
            return self.answer if looked.status == 200 else forward(request)


class Sometimes(Quirk):
    """Every so many requests, counted for each method, something goes wrong; it does not when asked again at once."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.counts: dict[str, itertools.count[int]] = {}
        self.guard = threading.Lock()

    def __call__(self, request: Request, forward: Forward) -> Answer:
        with self.guard:
            count = next(self.counts.setdefault(request.method, itertools.count(1)))
            wrong = count % self.every == 0
            self.faults += wrong
        return self.go_wrong(request, forward) if wrong else forward(request)

    def go_wrong(self, request: Request, forward: Forward) -> Answer:
        raise NotImplementedError


class Busy(Sometimes):
    """429 or 503 and when to come again."""

    def __init__(self, every: int, status: int, seconds: int = 1) -> None:
        super().__init__(every)
        self.status, self.seconds = status, seconds

    def go_wrong(self, request: Request, forward: Forward) -> Answer:
        return refusal(self.status, "TOOMANYREQUESTS", "later", **{"Retry-After": str(self.seconds)})


class Reset(Sometimes):
    """The connection breaks before the registry has seen the request."""

    def go_wrong(self, request: Request, forward: Forward) -> Answer:
        raise Dropped


class LostAnswer(Sometimes):
    """What was asked is done, and the answer does not arrive."""

    def go_wrong(self, request: Request, forward: Forward) -> Answer:
        forward(request)
        raise Dropped


class Spoiled(Sometimes):
    """What was uploaded is not what arrived: a digest that does not fit, or a session that broke."""

    def go_wrong(self, request: Request, forward: Forward) -> Answer:
        if request.kind != "uploads" or request.method != "PUT":
            return forward(request)
        return refusal(400, "BLOB_UPLOAD_INVALID", "blob upload invalid")


class Statuses(Quirk):
    """Uploads begin with 200 in place of 202, and end with another status of success than 201."""

    def __init__(self, end: int) -> None:
        self.end = end

    def __call__(self, request: Request, forward: Forward) -> Answer:
        answer = forward(request)
        if request.kind != "uploads" or request.method not in ("POST", "PUT") or answer.status not in (201, 202):
            return answer
        return replace(answer, status=self.end if request.method == "PUT" else 200)


class TagsFirst(Quirk):
    """Artifact Registry (400) and Artifactory (406) do not delete a digest that still has a tag; a tag goes alone."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.tags: dict[str, str] = {}
        """Path of a tag -> path of its digest."""
        self.order: list[str] = []
        """What was deleted, tags and digests."""
        self.guard = threading.Lock()

    def __call__(self, request: Request, forward: Forward) -> Answer:
        base, _, name = request.path.rpartition("/")
        if request.tag:
            digest = f"sha256:{hashlib.sha256(request.body).hexdigest()}"
            self.tags[request.path] = f"{base}/{digest}"
        if request.method != "DELETE" or request.kind != "manifests":
            return forward(request)
        with self.guard:
            if request.path in self.tags.values():
                return self.answer
            self.order.append(name)
            if self.tags.pop(request.path, None):
                return Answer(202)
        return forward(request)


class NoList(Quirk):
    """A robot that may push and pull, and not list tags."""

    def __call__(self, request: Request, forward: Forward) -> Answer:
        if request.kind == "tags":
            return refusal(403, "DENIED", "not authorized to perform: ListImages")
        return forward(request)


class Tokens(Quirk):
    """A token server at the registry's own address. A token that began an upload has expired when the upload ends."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.given: dict[str, str] = {}
        """Token -> scopes."""
        self.began: dict[str, str] = {}
        """Path of an upload -> the token that began it."""

    def __call__(self, request: Request, forward: Forward) -> Answer:
        if request.path == "/token":
            return self.give(request)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        action = "pull" if request.method in ("GET", "HEAD") else "push"
        repository = request.path.removeprefix("/v2/").rpartition("/")[0].rpartition("/")[0].removesuffix("/blobs")
        with self.guard:
            allowed = action in self.given.get(token, "") and self.began.get(request.path) != token
        if not allowed:
            self.faults += 1
            challenge = f'Bearer realm="http://{self.home}/token",service="test",scope="repository:{repository}:pull'
            return refusal(
                401, "UNAUTHORIZED", "who?", **{"WWW-Authenticate": challenge + f'{",push" * (action == "push")}"'}
            )
        answer = forward(without_authorization(request))
        if request.method == "POST" and answer.status == 202:
            with self.guard:
                self.began[urlsplit(answer.header("Location")).path] = token
        return answer

    def give(self, request: Request) -> Answer:
        wanted = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.headers.get("authorization") != wanted:
            return refusal(401, "UNAUTHORIZED", "wrong password")
        with self.guard:
            self.faults += 1
            token = f"token-{len(self.given)}"
            self.given[token] = request.target
        return Answer(200, {"Content-Type": "application/json"}, json.dumps({"token": token}).encode())


class Redirects(Quirk):
    """Content of blobs is at another host, which refuses who brings credentials along."""

    def __init__(self) -> None:
        self.storage = ""
        self.allowed: set[str] = set()
        self.refused: list[Request] = []
        self.upstream: Forward | None = None

    def __call__(self, request: Request, forward: Forward) -> Answer:
        if request.kind != "blobs" or request.method != "GET":
            return forward(request)
        self.upstream = forward
        self.faults += 1
        return Answer(307, {"Location": f"http://{self.storage}{request.path}?signature=1"})

    def store(self, request: Request) -> Answer:
        """What the other host answers."""
        if "authorization" in request.headers or self.upstream is None:
            self.refused.append(request)
            return Answer(400, body=b"Only one auth mechanism allowed")
        return self.upstream(request)


class NoDigest(Quirk):
    def __call__(self, request: Request, forward: Forward) -> Answer:
        # A HEAD then has to be followed by a GET.
        self.faults += request.kind == "manifests" and request.method == "HEAD"
        return forward(request).but(Docker_Content_Digest=None)


class RelativeLocations(Quirk):
    def __call__(self, request: Request, forward: Forward) -> Answer:
        answer = forward(request)
        url = urlsplit(answer.header("Location"))
        return answer.but(Location=f"{url.path}?{url.query}") if url.path else answer


def without_authorization(request: Request) -> Request:
    headers = {name: value for name, value in request.headers.items() if name != "authorization"}
    return Request(request.method, request.target, headers, request.body)
