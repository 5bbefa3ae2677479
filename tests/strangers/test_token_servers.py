"""Token servers that a registry names: never an address where a cloud keeps its metadata, however it is written."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from lineal.errors import Unreachable
from lineal.store.registry.auth import Authenticator
from lineal.store.registry.network_policy import is_inside, is_metadata, may_redirect

METADATA = ["169.254.169.254", "2852039166", "0xa9fea9fe", "169.254.43518", "0251.0376.0251.0376", "fe80::1",
            "::ffff:169.254.169.254", "0.0.0.0", "169.254.169.254."]  # fmt: skip


@pytest.mark.parametrize("name", METADATA)
def test_an_address_of_metadata_is_known_in_every_spelling(name: str) -> None:
    assert is_metadata(name) and is_inside(name)
    host = f"[{name}]" if ":" in name else name
    assert not may_redirect(urlsplit(f"http://{host}/token"), "127.0.0.1:5000", secure=False)


@pytest.mark.parametrize("name", ["auth.docker.io", "127.0.0.1", "10.0.0.1", "localhost", "1password.com", "a.b"])
def test_other_servers_are_not_taken_for_one(name: str) -> None:
    assert not is_metadata(name)


def test_a_registry_without_https_names_no_such_address_either() -> None:
    def exchange(*_: object) -> tuple[int, bytes]:
        raise AssertionError("it was asked")

    auth = Authenticator("registry.example.com", "team/app", secure=False, exchange=exchange, monotonic=lambda: 0.0,
                         environ={}, credential=None)  # fmt: skip
    with pytest.raises(Unreachable, match="not safe to give them to"):
        auth.answer('Bearer realm="http://169.254.169.254/token"', [("repository:team/app", "pull")], None)
