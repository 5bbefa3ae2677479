"""The tags of a repository, whole on registries that page, sort and begin a list each in their own way.

The list is what its first request and the `Link`s after it give. Beginning at a checksum (`last=`) would spare most
of it, but registries ignore that, are off by one, answer 404, or mean a number by it. So it is used only where it
pays (the first page names a next one), and after it has been proven: asked to begin just below a tag of that page,
the registry must begin with that tag. Every answer is checked again; what looks wrong leads to the whole list.

Those who need the whole list at the same time share it: a build publishes many stages, and for each of them it asks
for a list that is younger than its own tag."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol
from urllib.parse import urlencode

from lineal.errors import LinealError
from lineal.oci import Listed
from lineal.oci.verify import invalid_response, read_json
from lineal.store.registry.auth import LISTING
from lineal.store.registry.errors import ConnectionFailed
from lineal.store.registry.response import Response, codes
from lineal.store.registry.together import Together
from lineal.store.registry.transport import Transport
from lineal.store.registry.tries import TRIES
from lineal.store.tags import is_checksum, is_claim_key, parse_stage_tag

PAGE = 1000
"""More is refused by some."""
RANGE_PAGE = 100
"""A checksum has few tags, and some registries make every tag of a page a read of their database."""
MAX_PAGES = 10_000
MAX_LISTING = 128 * 1024 * 1024
MAX_NAMES = 512 * 1024 * 1024
"""Letters of all the tags of a repository: those of six million stages."""
STARTS = 3
"""How often a list is begun whose next page vanishes: some answer 404 when the tag it begins at has been deleted."""


class Reader(Protocol):
    def __call__(self, where: str, *, limit: int, tries: int = TRIES) -> Response: ...


class Refuser(Protocol):
    def __call__(self, answer: Response, doing: str) -> LinealError: ...


class TagList:
    """The tags of one repository. Safe to use from several threads."""

    def __init__(self, http: Transport, base: str, read: Reader, refuse: Refuser) -> None:
        self._http, self._where = http, f"{base}/tags/list"
        self._read, self._refuse = read, refuse
        self._takes_n = True
        self._begins: bool | None = None
        """Whether this registry begins a list where it is asked to; None: not proven yet."""
        self._whole: Together[Listed] = Together(self._walk)

    def tags(self, prefix: str = "") -> list[str]:
        """Every tag that begins with `prefix`; empty when the repository does not exist."""
        return [tag for tag in self.listed(prefix).tags if tag.startswith(prefix)]

    def listed(self, prefix: str) -> Listed:
        """The same, with all others when a single page has them."""
        if self._begins and _can_begin(prefix) and (found := self._range(prefix)) is not None:
            return Listed(found, whole=False)
        return self._whole.ask(prefix)

    def whole(self) -> list[str] | None:
        """Every tag by one request; None where there is more than a page, or no telling."""
        answer = self._first()
        if answer.status != 200:
            return [] if "NAME_UNKNOWN" in codes(answer.body)[0] else None
        page = self._page(answer)
        return None if self._is_cut(page, answer) else page

    def _walk(self, prefixes: Collection[str]) -> Mapping[str, Listed]:
        """The tags that begin with each of these."""
        for start in range(1, STARTS + 1):
            every = self._all(prefixes, last_start=start == STARTS)
            if every is not None:
                return every
        raise AssertionError("the last start returns or raises")

    def _all(self, prefixes: Collection[str], *, last_start: bool) -> dict[str, Listed] | None:
        """What begins with each prefix of all pages, or what the registry has for checksums; of a single page all.
        None when a further page has vanished."""
        found: dict[str, list[str]] = {prefix: [] for prefix in prefixes}
        answer = self._first()
        if answer.status == 404:
            return dict.fromkeys(prefixes, Listed([], whole=True))
        page, seen = self._page(answer), {answer.url}
        following = self._next(answer)
        if following is None and self._is_cut(page, answer):
            answer = self._get(self._url())
            page, following = page + self._page(answer), self._next(answer)
        if following is None:
            return dict.fromkeys(prefixes, Listed(list(dict.fromkeys(page)), whole=True))
        if self._may_begin(prefixes, page) and (some := self._ranges(prefixes)) is not None:
            return {prefix: Listed(tags, whole=False) for prefix, tags in some.items()}
        _sort_out(page, found)
        size = _size(page)
        while following:
            if following in seen or len(seen) == MAX_PAGES or size > MAX_NAMES:
                raise invalid_response(self._http.host, "a list of tags that has no end")
            seen.add(following)
            answer = self._get(following)
            if answer.status == 404 and not last_start:
                return None
            page = self._page(answer)
            _sort_out(page, found)
            size += _size(page)
            following = self._next(answer)
        return {prefix: Listed(list(dict.fromkeys(tags)), whole=not prefix) for prefix, tags in found.items()}

    def _is_cut(self, page: Sequence[str], answer: Response) -> bool:
        """Whether there may be more than this first page. One that is full, without a word of another one: a registry
        that pages without `Link` gives its default instead when it is asked without `n`."""
        return self._next(answer) is not None or (self._takes_n and len(page) == PAGE)

    def _first(self) -> Response:
        if self._takes_n:
            answer = self._get(self._url(n=PAGE))
            if answer.status != 400:
                return answer
            # Its limit for `n` is a lower one; then it has a size of its own for pages.
            self._takes_n = False
        return self._get(self._url())

    def _may_begin(self, prefixes: Collection[str], page: Sequence[str]) -> bool:
        """Prove, once, that the registry begins a list where it is asked to."""
        if not all(map(_can_begin, prefixes)) or not _is_sorted(page):
            return False
        if self._begins is None and (tag := _telling(page)):
            self._begins = self._begins_at(tag)
        return self._begins is True

    def _begins_at(self, tag: str) -> bool | None:
        try:
            answer = self._get(self._url(n=1, last=_just_below(tag)), tries=1)
        except ConnectionFailed:
            return None
        if answer.passing and answer.status != 500:
            return None
        return answer.status == 200 and self._page(answer)[:1] == [tag]

    def _ranges(self, checksums: Collection[str]) -> dict[str, list[str]] | None:
        found = {}
        for checksum in checksums:
            some = self._range(checksum)
            if some is None:
                return None
            found[checksum] = some
        return found

    def _range(self, checksum: str) -> list[str] | None:
        """The tags of a checksum by `last=`, up to the first tag behind them. None when that cannot be believed."""
        found: list[str] = []
        before = _just_below(checksum)
        following: str | None = self._url(n=RANGE_PAGE, last=before)
        for _ in range(MAX_PAGES):
            if following is None:
                return found
            answer = self._get(following)
            page = self._page(answer) if answer.status == 200 else []
            following = self._next(answer)
            if answer.status != 200 or before in page or not _is_sorted([before, *page]) or (following and not page):
                break
            for tag in page:
                if tag.startswith(checksum):
                    found.append(tag)
                elif tag > checksum:
                    return found
                before = tag
        self._begins = False
        return None

    def _get(self, where: str, tries: int = TRIES) -> Response:
        return self._read(where, limit=MAX_LISTING, tries=tries)

    def _url(self, **query: int | str) -> str:
        return f"{self._where}?{urlencode(query)}" if query else self._where

    def _page(self, answer: Response) -> list[str]:
        if answer.status != 200:
            raise self._refuse(answer, LISTING)
        page = read_json(answer.body, self._http.host).get("tags") or []
        if not isinstance(page, list) or not all(isinstance(tag, str) for tag in page):
            raise invalid_response(self._http.host, "with something that is not a list of tags")
        return page

    def _next(self, answer: Response) -> str | None:
        """The next page as the registry gives it; never one we made up, never another host's."""
        for link in re.finditer(r"<([^<>]*)>([^<]*)", answer.headers.get("Link", "")):
            if re.search(r""";\s*rel\s*=\s*["']?next["']?\s*(?:[;,]|$)""", link[2]):
                url, foreign = self._http.resolve(answer.url, link[1], "the next page of tags")
                if foreign:
                    raise invalid_response(self._http.host, "a list of tags that goes on at another host")
                return url
        return None


def _telling(page: Sequence[str]) -> str | None:
    """A tag of ours by which a registry shows where it begins. Not the first one, with which one that ignores `last`
    begins, too; nor one that stands, by chance, at the number that its name begins with."""
    for position in range(len(page) - 1, 0, -1):
        tag = page[position]
        if (is_checksum(tag) or parse_stage_tag(tag)) and not tag.lstrip("0").startswith(str(position)):
            return tag
    return None


def _can_begin(prefix: str) -> bool:
    """Whether so few tags begin like this that a list from there on is short: a checksum, or the key of a claim."""
    return is_checksum(prefix) or is_claim_key(prefix)


def _just_below(tag: str) -> str:
    """A name that no tag has and that sorts right before `tag`, which ends with a digit or a letter from a to f.

    Not a tag's own name: a registry may be right about tags that exist and wrong about all other names."""
    head, end = tag[:-1], tag[-1]
    return head if end == "0" else f"{head}{'9' if end == 'a' else chr(ord(end) - 1)}z"


def _sort_out(page: Sequence[str], found: Mapping[str, list[str]]) -> None:
    """Add the tags of a page to those that begin like them."""
    tags = sorted(page)
    for prefix, those in found.items():
        start = end = bisect_left(tags, prefix)
        while end < len(tags) and tags[end].startswith(prefix):
            end += 1
        those += tags[start:end]


def _size(page: Sequence[str]) -> int:
    return sum(map(len, page))


def _is_sorted(page: Sequence[str]) -> bool:
    """In one of the two orders that the distribution specification allows."""
    return list(page) in (sorted(page), sorted(page, key=str.lower))
