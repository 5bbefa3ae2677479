"""How registries list tags: each class is the way of one of them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlencode

from tests.registries.proxy import Answer, Forward, Quirk, Request, refusal


def crowd(size: int) -> list[str]:
    """Stage tags of other checksums, which exist in lists only."""
    return [f"{hashlib.sha256(str(n).encode()).hexdigest()}-{1_700_000_000_000 + n}" for n in range(size)]


def jumbled(tags: Sequence[str]) -> list[str]:
    """In an order that is none, the same each time."""
    return sorted(tags, key=lambda tag: hashlib.sha256(tag.encode()).digest())


class TagList(Quirk):
    """Answers lists by itself, from all tags of the real registry and a crowd of others."""

    def __init__(self, crowd: Sequence[str] = ()) -> None:
        self.crowd = list(crowd)

    def __call__(self, request: Request, forward: Forward) -> Answer:
        if request.kind != "tags":
            return forward(request)
        whole = forward(Request("GET", request.path, request.headers))
        if whole.status != 200:
            return whole
        return self.pick(request, [*(json.loads(whole.body)["tags"] or []), *self.crowd])

    def pick(self, request: Request, tags: list[str]) -> Answer:
        raise NotImplementedError


class Unpaged(TagList):
    """distribution 2.x, Docker Hub: all tags in any order, whatever is asked."""

    def pick(self, request: Request, tags: list[str]) -> Answer:
        return page(jumbled(tags))


class Pages(TagList):
    """Harbor, Quay, Gitea, GitLab: sorted pages of `n` and no more than `most`, after any `last`."""

    def __init__(self, crowd: Sequence[str] = (), most: int = 100) -> None:
        super().__init__(crowd)
        self.most = most

    def pick(self, request: Request, tags: list[str]) -> Answer:
        ordered = self.order(tags)
        start = self.start(ordered, request.query["last"]) if "last" in request.query else 0
        if isinstance(start, Answer):
            return start
        end = start + min(int(request.query.get("n", self.most)), self.most)
        link = self.link(request, ordered, end) if end < len(ordered) else ""
        return page(ordered[start:end], link)

    def order(self, tags: Sequence[str]) -> list[str]:
        return sorted(tags)

    def start(self, tags: Sequence[str], last: str) -> int | Answer:
        return bisect_right(tags, last)

    def link(self, request: Request, tags: Sequence[str], end: int) -> str:
        return f"{request.path}?{urlencode({'last': self.mark(tags, end), 'n': request.query.get('n', self.most)})}"

    def mark(self, tags: Sequence[str], end: int) -> str:
        return tags[end - 1]


class OffByOne(Pages):
    """distribution 3.0.0: after a `last` that is no tag, the next tag is left out."""

    def start(self, tags: Sequence[str], last: str) -> int:
        return bisect_left(tags, last) + 1


class NotFound(Pages):
    """zot: 404 for a `last` that is no tag."""

    def start(self, tags: Sequence[str], last: str) -> int | Answer:
        return bisect_right(tags, last) if last in tags else Answer(404)


class Cursors(Pages):
    """ECR: in no order, `last` is a word of the registry's own, and others are refused."""

    def order(self, tags: Sequence[str]) -> list[str]:
        return jumbled(tags)

    def start(self, tags: Sequence[str], last: str) -> int | Answer:
        try:
            return int(base64.b64decode(last, validate=True).decode("ascii"))
        except ValueError:
            return refusal(400, "UNSUPPORTED", "Invalid parameter at 'nextToken'")

    def mark(self, tags: Sequence[str], end: int) -> str:
        return base64.b64encode(str(end).encode()).decode()


class Numbers(Pages):
    """Artifactory: `last` is how many tags to skip; of anything else the digits that it begins with count."""

    def start(self, tags: Sequence[str], last: str) -> int:
        return int((re.match(r"\d*", last) or [""])[0] or 0)

    def mark(self, tags: Sequence[str], end: int) -> str:
        return str(end)


class OldestFirst(Pages):
    """GHCR as some saw it: pages in no order; a `last` that is no tag is ignored."""

    def order(self, tags: Sequence[str]) -> list[str]:
        return jumbled(tags)

    def start(self, tags: Sequence[str], last: str) -> int:
        return tags.index(last) + 1 if last in tags else 0


class AnyLast(Pages):
    """Sorted pages with numbers in their links; a `last` that is no number is ignored (Quay before 3.12)."""

    def start(self, tags: Sequence[str], last: str) -> int:
        return int(last) if len(last) < 9 and last.isdecimal() else 0

    def mark(self, tags: Sequence[str], end: int) -> str:
        return str(end)


class NoLink(Pages):
    """Nexus, group repositories: `n` is honoured and nothing says that there is more."""

    def link(self, request: Request, tags: Sequence[str], end: int) -> str:
        return ""

    def pick(self, request: Request, tags: list[str]) -> Answer:
        return super().pick(request, tags) if "n" in request.query else page(sorted(tags))


class Limit(Quirk):
    """distribution 3.1.0, ECR: a larger `n` is refused."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self, request: Request, forward: Forward) -> Answer:
        if request.kind == "tags" and int(request.query.get("n", 0)) > self.most:
            return refusal(400, "PAGINATION_NUMBER_INVALID", "invalid number of results requested")
        return forward(request)


class AbsoluteLinks(Quirk):
    """The next page is named with scheme and host."""

    def __call__(self, request: Request, forward: Forward) -> Answer:
        answer = forward(request)
        link = answer.header("Link")
        return answer.but(Link=link.replace("<", f"<http://{self.home}")) if link else answer


class Lagging(Quirk):
    """A new tag is on lists only after a number of further requests."""

    def __init__(self, requests: int) -> None:
        self.requests, self.count = requests, 0
        self.born: dict[str, int] = {}
        self.guard = threading.Lock()

    def __call__(self, request: Request, forward: Forward) -> Answer:
        answer = forward(request)
        with self.guard:
            self.count += 1
            if request.tag and answer.status == 201:
                self.born.setdefault(request.tag, self.count)
            hidden = {tag for tag, born in self.born.items() if self.count - born <= self.requests}
        if request.kind != "tags" or answer.status != 200:
            return answer
        tags = json.loads(answer.body)["tags"] or []
        return replace(answer, body=page([tag for tag in tags if tag not in hidden]).body)


def page(tags: Sequence[str], link: str = "") -> Answer:
    headers = {"Content-Type": "application/json"} | ({"Link": f'<{link}>; rel="next"'} if link else {})
    return Answer(200, headers, json.dumps({"name": "any", "tags": list(tags)}).encode())
