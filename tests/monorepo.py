"""A repository of many services on one base image, all in one lineal.yaml."""

from __future__ import annotations

from pathlib import Path

from tests.servers import Repository

_BASE = "FROM scratch\nCOPY shared /shared\n"
_SERVICE = "ARG BASE\nFROM ${BASE}\nCOPY settings /etc/service\nCOPY src /app\n"


def create(path: Path, services: int) -> Repository:
    """A repository of `services` images and their base: two COPYs each, so that no engine has a part."""
    repository = Repository.create(path)
    files: dict[str, str | bytes | None] = {
        "base/Dockerfile": _BASE,
        "base/shared/version": "1\n",
        "lineal.yaml": configuration(services),
    }
    for name in names(services):
        files |= {
            f"{name}/Dockerfile": _SERVICE,
            f"{name}/settings": f"{name}\n",
            f"{name}/src/main": f"program of {name}\n",
        }
    repository.write(files, "First commit")
    return repository


def names(services: int) -> list[str]:
    return [f"service{number:04}" for number in range(services)]


def configuration(services: int) -> str:
    lines = ["project: monorepo", "images:", "  base: {context: base}"]
    lines += [f"  {name}: {{context: {name}, needs: {{BASE: base}}}}" for name in names(services)]
    return "\n".join(lines) + "\n"
