"""A model of ghcr.io with the API of its packages, before a real registry that holds the images.

The answers are those of docs.github.com/rest/packages/packages, .../using-the-rest-api/rate-limits-for-the-rest-api
and .../packages/learn-github-packages/deleting-and-restoring-a-package, and what public issues quote of them."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import unquote, urlencode

from tests.registries.proxy import Answer, Forward, Quirk, Request, refusal

API = "/api"
"""The path of the API on the same server; GitHub has it on a host of its own."""
OWNER = "acme"
TOKEN = "ghs_model"
LAST = "You cannot delete the last tagged version of a package. You must delete the package instead."
POPULAR = (
    "Publicly visible package versions with more than 5000 downloads cannot be deleted. "
    "Contact GitHub support for further assistance."
)


@dataclass
class Stored:
    """A version of the package."""

    id: int
    digest: str
    created: float
    tags: list[str] = field(default_factory=list)

    def json(self) -> dict[str, object]:
        at = datetime.fromtimestamp(self.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        metadata = {"package_type": "container", "container": {"tags": self.tags}}
        return {"id": self.id, "name": self.digest, "created_at": at, "updated_at": at, "metadata": metadata}


class GitHub(Quirk):
    """One package, of an organization or of a user. What is pushed counts as `age` seconds old."""

    def __init__(self, kind: str = "Organization", *, login: str = "", age: float = 7200) -> None:
        """`login` is who the token belongs to; a workflow's job has one that is nobody's."""
        self.kind, self.login, self.age = kind, login, age
        self.versions: dict[str, Stored] = {}
        self.popular: set[str] = set()
        """Digests that were downloaded 5,000 times."""
        self.may_delete = True
        self.answers: list[Answer] = []
        """What the next deletions are answered, done or not: `done` is a header of the model."""
        self.deleted: list[str] = []
        self._ids = itertools.count(4711)
        self._guard = threading.RLock()
        self.package = ""

    def __call__(self, request: Request, forward: Forward) -> Answer:
        if request.path.startswith(f"{API}/"):
            with self._guard:
                return self._api(request, forward)
        if request.method == "DELETE" and request.kind == "manifests":
            return refusal(405, "UNSUPPORTED", "The operation is unsupported.")
        answer = forward(request)
        if request.method == "PUT" and request.kind == "manifests" and answer.status == 201:
            with self._guard:
                self._pushed(request)
        return answer

    def _pushed(self, request: Request) -> None:
        repository = request.path.removeprefix("/v2/").partition("/manifests/")[0]
        if repository.endswith("/bundle"):
            return  # A package of its own.
        self.package = repository.removeprefix(f"{OWNER}/")
        digest = f"sha256:{hashlib.sha256(request.body).hexdigest()}"
        version = self.versions.get(digest) or Stored(next(self._ids), digest, time.time() - self.age)
        self.versions[digest] = version
        if request.tag:
            for other in self.versions.values():
                other.tags = [tag for tag in other.tags if tag != request.tag]
            version.tags.append(request.tag)

    def _api(self, request: Request, forward: Forward) -> Answer:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return said(401, "Requires authentication")
        where = request.path.removeprefix(API)
        if where == "/user":
            mine = Answer(200, body=json.dumps({"login": self.login, "type": "User"}).encode())
            return mine if self.login else said(403, "Resource not accessible by integration")
        if where.startswith("/users/") and where.count("/") == 2:
            known = where == f"/users/{OWNER}"
            return Answer(200, body=json.dumps({"login": OWNER, "type": self.kind}).encode()) if known else missing()
        account, _, rest = where.partition("/packages/container/")
        name, _, what = rest.partition("/")
        if account != self._account() or unquote(name) != self.package:
            return said(404, "Package not found.")
        if request.method == "GET" and what == "versions":
            return self._page(request)
        found = [one for one in self.versions.values() if what == f"versions/{one.id}"]
        if request.method == "GET":
            return Answer(200, body=json.dumps(found[0].json()).encode()) if found else missing()
        return self._delete(found[0] if found else None, forward)

    def _account(self) -> str:
        if self.kind == "Organization":
            return f"/orgs/{OWNER}"
        return "/user" if self.login.lower() == OWNER else f"/users/{OWNER}"

    def _page(self, request: Request) -> Answer:
        size, number = min(int(request.query.get("per_page", 30)), 100), int(request.query.get("page", 1))
        newest_first = sorted(self.versions.values(), key=lambda version: -version.id)
        start = (number - 1) * size
        headers = {}
        if start + size < len(newest_first):
            query = urlencode({**request.query, "page": number + 1})
            headers["Link"] = (
                f'<http://{self.home}{request.path}?{query}>; rel="next", <http://x/?page=9>; rel="last"'
            )
        page = [version.json() for version in newest_first[start : start + size]]
        return Answer(200, headers, json.dumps(page).encode())

    def _delete(self, version: Stored | None, forward: Forward) -> Answer:
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None and not answer.header("done"):
            return answer
        if version is None or not self.may_delete:
            return said(404, "Package not found.")
        if version.digest in self.popular:
            return said(400, POPULAR)
        if version.tags and sum(bool(other.tags) for other in self.versions.values()) == 1:
            return said(400, LAST)
        del self.versions[version.digest]
        self.deleted.append(version.digest)
        forward(Request("DELETE", f"/v2/{OWNER}/{self.package}/manifests/{version.digest}", {"host": "ghcr.io"}))
        return answer or Answer(204)


def said(status: int, message: str, **headers: str) -> Answer:
    body = {"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status)}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, named, json.dumps(body).encode())


def missing() -> Answer:
    return said(404, "Not Found")
