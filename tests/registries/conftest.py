"""The registries that the black-box tests run on: a real one behind a proxy with one quirk, or several; and
other real ones behind a proxy that only counts."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from lineal.oci.credential import Credential
from lineal.store.registry.client import Registry
from tests import servers
from tests.conftest import Lineal
from tests.e2e.parts import NOWHERE, Project
from tests.registries.faults import (
    PASSWORD,
    USER,
    Busy,
    Immutable,
    LostAnswer,
    NoDigest,
    Redirects,
    RelativeLocations,
    Reset,
    Spoiled,
    Statuses,
    Tokens,
)
from tests.registries.lists import (
    AbsoluteLinks,
    AnyLast,
    Cursors,
    Lagging,
    Limit,
    NoLink,
    NotFound,
    Numbers,
    OffByOne,
    OldestFirst,
    Pages,
    Unpaged,
    crowd,
)
from tests.registries.proxy import Proxy, Quirk, proxy, refusal, serve
from tests.registries.real import REAL, started

CROWD = crowd(250)
IMMUTABLE = {
    "400 TAG_INVALID": refusal(400, "TAG_INVALID", "The image tag 'x' cannot be overwritten"),
    "400 already exists": refusal(400, "UNKNOWN", "the tag already exists"),
    "403 DENIED": refusal(403, "DENIED", "requested access to the resource is denied"),
    "405": refusal(405, "UNSUPPORTED", "the operation is unsupported"),
    "409 TAG_IMMUTABLE": refusal(409, "TAG_IMMUTABLE", "tag is immutable"),
    "412": refusal(412, "PRECONDITION", "configured as immutable"),
}
QUIRKS: dict[str, Callable[[], Sequence[Quirk]]] = {
    "unsorted and unpaged": lambda: [Unpaged(CROWD)],
    "sorted pages": lambda: [Pages(CROWD)],
    "sorted pages of 2": lambda: [Pages(CROWD[:9], most=2)],
    "off by one": lambda: [OffByOne(CROWD)],
    "404 for an absent last": lambda: [NotFound(CROWD)],
    "opaque cursors": lambda: [Cursors(CROWD)],
    "numbers": lambda: [Numbers(CROWD)],
    "unsorted pages": lambda: [OldestFirst(CROWD)],
    "last is ignored": lambda: [AnyLast(CROWD)],
    "no Link": lambda: [NoLink(crowd(1200), most=1000)],
    "n above 1000 is refused": lambda: [Limit(1000), Pages(CROWD, most=1000)],
    "n above 50 is refused": lambda: [Limit(50), Pages(CROWD, most=50)],
    "Link with a host": lambda: [AbsoluteLinks(), Pages(CROWD)],
    **{f"immutable, {name}": lambda answer=answer: [Immutable(answer)] for name, answer in IMMUTABLE.items()},  # type: ignore[misc]
    "lists that lag": lambda: [Lagging(5)],
    "429": lambda: [Busy(20, 429)],
    "503": lambda: [Busy(20, 503)],
    "520": lambda: [Busy(20, 520, 0)],
    "a secondary limit": lambda: [Busy(20, 403)],
    "uploads end with 200": lambda: [Statuses(200)],
    "uploads end with 202, some spoiled": lambda: [Statuses(202), Spoiled(5)],
    "connections break": lambda: [Reset(11)],
    "answers are lost": lambda: [LostAnswer(11)],
    "short tokens": lambda: [Tokens()],
    "blobs elsewhere": lambda: [Tokens(), Redirects()],
    "no digest header": lambda: [NoDigest()],
    "relative Location": lambda: [RelativeLocations()],
    "several at once": lambda: [
        Tokens(),
        LostAnswer(11),
        AbsoluteLinks(),
        Redirects(),
        NoDigest(),
        RelativeLocations(),
        Immutable(IMMUTABLE["412"]),
        Lagging(3),
        Pages(CROWD),
    ],
}
OTHERS = [name for name in REAL if not name.startswith("docker-registry")]
"""The real registries that are tried without a quirk: what docker-registry is, the quirks' own tests show."""


@pytest.fixture(scope="session")
def real_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Gives the address, `127.0.0.1:PORT`, of one of `REAL`; each is started when it is first asked for."""
    addresses: dict[str, str] = {}
    with ExitStack() as running:

        def address(name: str) -> str:
            if name not in addresses:
                directory = tmp_path_factory.mktemp("real") / "registry"
                addresses[name] = running.enter_context(started(REAL[name], directory))
            return addresses[name]

        yield address


@pytest.fixture(params=[*QUIRKS, *OTHERS])
def quirk(request: pytest.FixtureRequest) -> str:
    """The name of the case."""
    return str(request.param)


@pytest.fixture
def server(quirk: str, registry: str, request: pytest.FixtureRequest) -> Iterator[Proxy]:
    if quirk in OTHERS:
        with proxy(request.getfixturevalue("real_registry")(quirk)) as server:
            yield server
        return
    quirks = QUIRKS[quirk]()
    with ExitStack() as running:
        for redirects in (each for each in quirks if isinstance(each, Redirects)):
            redirects.storage = running.enter_context(serve(redirects.store))
        yield running.enter_context(proxy(registry, *quirks))


@pytest.fixture
def open_store(server: Proxy, tmp_path: Path) -> Iterator[Callable[[str], Registry]]:
    """Opens a store as a new process has it; one name is one repository."""
    unique = secrets.token_hex(6)
    login = Credential("a test", USER, PASSWORD)
    with ExitStack() as opened:

        def open_store(name: str) -> Registry:
            store = Registry(
                server.host, f"quirks-{unique}/{name}", credential=login, environ={"HOME": str(tmp_path)}
            )
            opened.callback(store.close)
            return store

        yield open_store


@pytest.fixture
def project(repo: servers.Repository, lineal: Lineal, server: Proxy, tmp_path: Path) -> Project:
    """An empty git repository with a store on that registry, without an engine."""
    lineal.env |= NOWHERE | {"LINEAL_REGISTRY_USERNAME": USER, "LINEAL_REGISTRY_PASSWORD": PASSWORD}
    return Project(repo, lineal, f"{server.host}/quirks-{secrets.token_hex(6)}/app", tmp_path)
