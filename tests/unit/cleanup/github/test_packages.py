"""Which registries GitHub runs, and where the API of their packages is."""

from __future__ import annotations

import pytest

from lineal.cleanup.github.packages import api_of

HERE = {"GITHUB_SERVER_URL": "https://github.example.com", "GITHUB_API_URL": "https://github.example.com/api/v3"}


@pytest.mark.parametrize(
    ("host", "environ", "api"),
    [
        ("ghcr.io", {}, "https://api.github.com"),
        ("ghcr.io", HERE, "https://api.github.com"),
        ("ghcr.io", {"GITHUB_API_URL": "https://api.github.com/"}, "https://api.github.com/"),
        ("containers.github.example.com", HERE, "https://github.example.com/api/v3"),
        ("containers.github.example.com", {"GITHUB_SERVER_URL": HERE["GITHUB_SERVER_URL"]}, HERE["GITHUB_API_URL"]),
        ("containers.acme.ghe.com", {}, "https://api.acme.ghe.com"),
        ("containers.acme.ghe.com", HERE, "https://api.acme.ghe.com"),
        ("containers.github.example.com", {}, None),
        ("containers.example.com", HERE, None),
        ("github.example.com", HERE, None),
        ("ghcr.io:5000", {}, None),
        ("registry.example.com", {}, None),
        ("containers.example.com", {"GITHUB_SERVER_URL": "https://["}, None),
    ],
)
def test_the_api_of_a_registry(host: str, environ: dict[str, str], api: str | None) -> None:
    assert api_of(host, environ) == api
