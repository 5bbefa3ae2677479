"""Lists of tags: whole on every kind of registry, and short where the registry can be believed."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineal.errors import Unreachable
from lineal.oci.credential import Credential
from lineal.store.registry.client import Registry
from lineal.store.registry.tag_list import _just_below
from lineal.store.tags import Claim, claim_key, parse_stage_tag, stage_tag
from tests.registries.lists import (
    AnyLast,
    Cursors,
    Limit,
    NoLink,
    NotFound,
    Numbers,
    OffByOne,
    OldestFirst,
    Pages,
    TagList,
    Unpaged,
    crowd,
    jumbled,
    page,
)
from tests.registries.proxy import Answer, Dropped, Forward, Quirk, Request, refusal, serve
from tests.unit.store.conftest import Naps, environ

FORBIDDEN = refusal(403, "DENIED", "not authorized to perform: ListImages")
KINDS = (Unpaged, Pages, OffByOne, NotFound, Cursors, Numbers, OldestFirst, AnyLast)
OURS = hashlib.sha256(b"ours").hexdigest()
checksums = st.binary(max_size=2).map(lambda seed: hashlib.sha256(seed).hexdigest())
stage_tags = st.builds(stage_tag, checksums, st.integers(0, 40) | st.integers(0, 10**13 - 1))
keys = st.integers(0, 3).map(lambda number: claim_key("registry.test/app", str(number)))
claims = st.builds(
    Claim, keys, st.integers(0, 1).map(lambda number: f"{number:016x}"), st.integers(0, 40), st.just("c" * 40)
).map(lambda claim: claim.tag)
others = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,9}", fullmatch=True)


class Tags:
    """A repository that is only tags, listed in one registry's way; every tag is a HEAD away."""

    def __init__(self, home: Path, tags: Sequence[str], *quirks: Quirk) -> None:
        self.home, self.tags, self.quirks = home, list(tags), quirks
        self.lists: list[str] = []
        """The queries of lists, in order."""

    def __call__(self, request: Request) -> Answer:
        if request.kind == "tags":
            self.lists.append(request.target.partition("?")[2])

        def forward(request: Request, rest: tuple[Quirk, ...] = self.quirks) -> Answer:
            return rest[0](request, lambda inner: forward(inner, rest[1:])) if rest else self.plain(request)

        return forward(request)

    def plain(self, request: Request) -> Answer:
        if request.kind == "tags":
            return Answer(200, {}, json.dumps({"tags": self.tags}).encode())
        there = request.path.rpartition("/")[2] in self.tags
        return Answer(200, {"Docker-Content-Digest": "sha256:" + "0" * 64}) if there else Answer(404)

    @contextmanager
    def open(self) -> Iterator[Registry]:
        with serve(self) as host:
            yield self.client(host)

    def client(self, host: str) -> Registry:
        return Registry(host, "team/app", environ=environ(self.home), time=Naps().time())

    def asked(self, ask: Callable[[], list[str]]) -> tuple[set[str], int]:
        """What it says, and how many requests for lists that took."""
        before = len(self.lists)
        return set(ask()), len(self.lists) - before


def family(*stamps: int, checksum: str = OURS) -> set[str]:
    return {checksum, *(stage_tag(checksum, stamp) for stamp in stamps)}


@pytest.fixture
def tags(tmp_path: Path) -> Callable[..., Tags]:
    return lambda *quirks, more=(): Tags(tmp_path, [*family(5, 7, 1_700_000_000_000), *more], *quirks)


New = Callable[..., Tags]


@dataclass
class Server:
    """One server for many examples, each with tags of its own."""

    host: str = ""
    tags: Tags | None = None

    def __call__(self, request: Request) -> Answer:
        return self.tags(request) if self.tags else Answer(404)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    with serve(made) as made.host:
        yield made


@settings(deadline=None, max_examples=60)
@given(
    st.sets(stage_tags | checksums | claims | others, max_size=16),
    st.sampled_from(KINDS),
    st.integers(2, 7),
    st.lists(checksums | keys, max_size=2),
)
def test_every_tag_of_a_prefix_whatever_the_registry_does(
    server: Server,
    tmp_path_factory: pytest.TempPathFactory,
    present: set[str],
    kind: type[TagList],
    most: int,
    wanted: list[str],
) -> None:
    quirk = kind() if kind is Unpaged else kind(most=most)  # type: ignore[call-arg]
    server.tags = Tags(tmp_path_factory.getbasetemp(), sorted(present), quirk)
    store = server.tags.client(server.host)
    for prefix in [*wanted, *sorted(present)[:2], *wanted, ""]:
        assert sorted(store.tags(prefix)) == sorted(tag for tag in present if tag.startswith(prefix))


@settings(deadline=None)
@given(stage_tags | checksums | keys, stage_tags | checksums | keys)
def test_just_below_a_tag_is_no_other_tag(tag: str, other: str) -> None:
    below = _just_below(tag)
    assert below < tag
    neighbours = [tag[:-1] + end for end in ("0123456789" if parse_stage_tag(tag) else "0123456789abcdef")]
    assert not [each for each in (other, *neighbours) if below <= each < tag]


def test_where_a_list_can_begin_anywhere_one_page_is_enough(tags: New) -> None:
    served = tags(Pages(crowd(3000), most=1000))
    with served.open() as store:
        assert served.asked(lambda: store.tags(OURS)) == (family(5, 7, 1_700_000_000_000), 3), "page, proof, tags"
        assert served.asked(lambda: store.tags(OURS)) == (family(5, 7, 1_700_000_000_000), 1)
        assert served.asked(lambda: store.tags("0" * 64)) == (set(), 1)
        assert served.asked(lambda: store.tags(claim_key("", "latest"))) == (set(), 1)
        assert served.asked(store.tags)[1] == 4


@pytest.mark.parametrize(
    "quirk", [Unpaged(crowd(3000)), Pages(crowd(500), most=1000)], ids=["all at once", "few tags"]
)
def test_where_one_request_gives_everything_nothing_is_proven(tags: New, quirk: Quirk) -> None:
    served = tags(quirk)
    with served.open() as store:
        for _ in range(3):
            assert served.asked(lambda: store.tags(OURS)) == (family(5, 7, 1_700_000_000_000), 1)


def test_a_list_is_whole_where_one_request_gives_it(tags: New) -> None:
    few, many = tags(Pages(crowd(500), most=1000)), tags(Pages(crowd(3000), most=1000))
    with few.open() as store:
        assert store.listed(OURS).whole
        assert set(store.listed(OURS).tags) == set(store.tags())
    with many.open() as store:
        for _ in range(2):
            found = store.listed(OURS)
            assert (set(found.tags), found.whole) == (family(5, 7, 1_700_000_000_000), False)


@pytest.mark.parametrize(
    ("quirk", "whole"),
    [
        (Unpaged(crowd(3000)), True),
        (Pages(crowd(500), most=1000), True),
        (Pages(crowd(3000), most=1000), False),
        (NoLink(crowd(1500), most=1000), False),
    ],
    ids=["all at once", "few tags", "pages", "pages without a link"],
)
def test_all_tags_by_one_request_or_none(tags: New, quirk: Quirk, whole: bool) -> None:
    served = tags(quirk)
    with served.open() as store:
        found = store.whole_list()
        assert len(served.lists) == 1
        assert (None if found is None else set(found)) == (set(store.tags()) if whole else None)


@pytest.mark.parametrize(
    ("answer", "found"),
    [(refusal(404, "NAME_UNKNOWN", "no such repository"), []), (Answer(404), None), (FORBIDDEN, None)],
    ids=["no repository", "no lists", "not for you"],
)
def test_only_a_repository_that_is_not_there_has_no_tags(
    tmp_path: Path, answer: Answer, found: list[str] | None
) -> None:
    with serve(lambda request: answer if request.kind == "tags" else Answer(404)) as host:
        assert Registry(host, "team/app", environ=environ(tmp_path)).whole_list() == found


@pytest.mark.parametrize("kind", [OffByOne, NotFound, Numbers, AnyLast])
def test_a_registry_that_begins_elsewhere_is_asked_so_once(tags: New, kind: type[Pages]) -> None:
    served = tags(kind(crowd(300)))
    with served.open() as store:
        assert served.asked(lambda: store.tags(OURS)) == (family(5, 7, 1_700_000_000_000), 5), "a proof, four pages"
        assert served.asked(lambda: store.tags(OURS)) == (family(5, 7, 1_700_000_000_000), 4)


@pytest.mark.parametrize("kind", [Cursors, OldestFirst])
def test_where_pages_are_in_no_order_nothing_is_tried(tags: New, kind: type[Pages]) -> None:
    served = tags(kind(crowd(300)))
    with served.open() as store:
        assert served.asked(lambda: store.tags(OURS)) == (family(5, 7, 1_700_000_000_000), 4)
    assert not any("last" in query for query in served.lists[:1])


def test_without_a_tag_of_ours_nothing_can_be_proven(tags: New) -> None:
    served = tags(Pages([f"release-{number:03}" for number in range(300)]), more=["0"])
    with served.open() as store:
        served.tags = ["0"]
        assert served.asked(lambda: store.tags(OURS)) == (set(), 4)


def test_a_checksum_of_more_tags_than_a_page(tags: New) -> None:
    many = family(*range(1_700_000_000_000, 1_700_000_000_250))
    served = tags(Pages(crowd(3000), most=1000), more=many)
    with served.open() as store:
        for _ in range(2):
            assert set(store.tags(OURS)) == many | family(5, 7)
    assert any(query.startswith("n=1&") for query in served.lists)


class Held(Quirk):
    """Answers the first list when it may."""

    def __init__(self) -> None:
        self.asked, self.may = threading.Event(), threading.Event()

    def __call__(self, request: Request, forward: Forward) -> Answer:
        if request.query.get("n") == "1000" and not self.asked.is_set():
            self.asked.set()
            assert self.may.wait(timeout=300)
        return forward(request)


@pytest.mark.parametrize("pages", [(), (Pages(crowd(300)),)], ids=["one answer", "pages"])
def test_those_who_ask_meanwhile_share_the_next_list(tags: New, pages: tuple[Quirk, ...]) -> None:
    held = Held()
    served = tags(held, *pages)
    wanted = [OURS, *(f"{number:064x}" for number in range(7))]
    with served.open() as store, ThreadPoolExecutor(9) as pool:
        first = pool.submit(store.tags, OURS)
        assert held.asked.wait(timeout=300)
        rest = [pool.submit(store.tags, prefix) for prefix in wanted]
        while len(store._listing._whole._gathering.keys) < len(wanted):
            time.sleep(0.01)
        held.may.set()
        assert set(first.result()) == set(rest[0].result()) == family(5, 7, 1_700_000_000_000)
        assert all(not answer.result() for answer in rest[1:])
    assert sum(query.startswith("n=1000") for query in served.lists) == 2
    assert sum(query.startswith("n=1&") for query in served.lists) == len(pages)


class Turns(Pages):
    """Begins where it is asked to until `turned`, and then answers such requests in no order."""

    turned = False

    def pick(self, request: Request, tags: list[str]) -> Answer:
        begins = request.query.get("n") == "100"
        return page(jumbled(tags)[:100]) if self.turned and begins else super().pick(request, tags)


def test_a_registry_that_answers_otherwise_later_is_not_believed(tags: New) -> None:
    turns = Turns(crowd(300))
    served = tags(turns)
    with served.open() as store:
        assert served.asked(lambda: store.tags(OURS))[1] == 3
        turns.turned = True
        for _ in range(2):
            assert set(store.tags(OURS)) == family(5, 7, 1_700_000_000_000)


class Fails(Quirk):
    """Answers otherwise to lists that are asked to begin somewhere: once, or always."""

    def __init__(self, answer: Answer | None, times: int = 99) -> None:
        self.answer, self.times = answer, times

    def __call__(self, request: Request, forward: Forward) -> Answer:
        if request.query.get("n") not in ("1", "100") or not self.times:
            return forward(request)
        self.times -= 1
        if self.answer is None:
            raise Dropped
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [Answer(400), Answer(404), Answer(500), Answer(503), Answer(200, {}, b'{"tags": null}'), None],
    ids=["400", "404", "500", "503", "nothing", "reset"],
)
def test_a_proof_that_fails_costs_one_request(tags: New, answer: Answer | None) -> None:
    served = tags(Fails(answer), Pages(crowd(300)))
    with served.open() as store:
        assert served.asked(lambda: store.tags(OURS)) == (family(5, 7, 1_700_000_000_000), 5)


def test_a_passing_failure_proves_nothing(tags: New) -> None:
    served = tags(Fails(Answer(503), times=1), Pages(crowd(300)))
    with served.open() as store:
        store.tags(OURS)
        store.tags(OURS)
        assert served.asked(lambda: store.tags(OURS)) == (family(5, 7, 1_700_000_000_000), 1)


@pytest.mark.parametrize("most", [999, 10])
def test_a_registry_that_refuses_n_is_asked_without(tags: New, most: int) -> None:
    served = tags(Limit(most), Pages(crowd(20), most=10))
    with served.open() as store:
        assert set(store.tags(OURS)) == family(5, 7, 1_700_000_000_000)
        assert served.asked(store.tags)[1] == 3, "it is remembered"


def test_a_full_page_without_a_link_is_not_taken_for_everything(tags: New) -> None:
    served = tags(NoLink(crowd(1500), most=1000))
    with served.open() as store:
        assert served.asked(store.tags)[0] == {*family(5, 7, 1_700_000_000_000), *crowd(1500)}


class Vanishing(Pages):
    """A tag that a page begins after is deleted meanwhile, and it answers 404: for so many times."""

    def __init__(self, times: int) -> None:
        super().__init__(crowd(300))
        self.times, self.guard = times, threading.Lock()

    def start(self, tags: Sequence[str], last: str) -> int | Answer:
        if last in tags and self.times:
            self.times -= 1
            return refusal(404, "NAME_UNKNOWN", "no such tag")
        return super().start(tags, last)


def test_a_page_that_vanishes_is_no_end(tags: New) -> None:
    with tags(Vanishing(2)).open() as store:
        assert set(store.tags()) == {*family(5, 7, 1_700_000_000_000), *crowd(300)}
    with tags(Vanishing(99)).open() as store, pytest.raises(Unreachable, match="answers status 404"):
        store.tags()


class Circle(Pages):
    """Every page names itself as the next one."""

    def link(self, request: Request, tags: Sequence[str], end: int) -> str:
        return request.target

    def pick(self, request: Request, tags: list[str]) -> Answer:
        return super().pick(request, tags[:1] if "last" in request.query else tags)


def test_a_circle_of_pages_ends(tags: New) -> None:
    served: Any = tags(Circle(crowd(300)))
    with served.open() as store, pytest.raises(Unreachable, match="has no end"):
        store.tags(OURS)
    assert len(served.lists) < 5


@pytest.mark.parametrize("status", [401, 403])
def test_a_robot_that_may_not_list_tags_is_told_which_right_is_missing(tmp_path: Path, status: int) -> None:
    """ECR's usual policy for pushing, robots of Harbor: `docker push` needs no list."""
    answer = Answer(status, FORBIDDEN.headers, FORBIDDEN.body)
    robot = Credential("LINEAL_REGISTRY_USERNAME", "robot", "secret")
    with serve(lambda request: answer if request.kind == "tags" else Answer(404)) as host:
        with pytest.raises(Unreachable) as error:
            Registry(host, "team/app", environ=environ(tmp_path), credential=robot).tags()
        assert "does not let the credentials from LINEAL_REGISTRY_USERNAME list the tags of team/app" in str(
            error.value
        )
        assert "though they may read there. It says: 'not authorized to perform: ListImages'." in str(error.value)
        assert "ecr:ListImages" in str(error.value)
    with serve(lambda _: answer) as host, pytest.raises(Unreachable, match="_USERNAME read team/app"):
        Registry(host, "team/app", environ=environ(tmp_path), credential=robot).tags()
    with serve(lambda _: answer) as host, pytest.raises(Unreachable, match="let anyone read team/app"):
        Registry(host, "team/app", environ=environ(tmp_path)).tags()
