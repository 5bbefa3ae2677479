"""A build with a submodule and a file of Git LFS in its context, from a clone as CI makes it to the image."""

from __future__ import annotations

import dataclasses

import pytest

from lineal.errors import BadConfiguration, Uncommitted
from tests import servers
from tests.e2e.parts import NOWHERE, Project
from tests.unit.git.modules import LFS, add, create, pointer, store, update

pytestmark = pytest.mark.registry
BIG = bytes(range(256)) * 900
DOCKERFILE = "FROM scratch\nCOPY src /src/\nCOPY vendor /vendor/\n"


@pytest.fixture
def shop(layout: Project) -> Project:
    """vendor/lib is a submodule with a file of Git LFS; no engine is needed."""
    lib = create(layout.scratch / "lib", {"a.c": "1", "docs/x.md": "1", ".gitattributes": LFS, "m.bin": pointer(BIG)})
    layout.write(DOCKERFILE, {"src/main.c": "1"})
    add(layout.repo, lib, "vendor/lib")
    store(layout.repo.path / ".git/modules/vendor/lib/lfs", BIG)
    return dataclasses.replace(layout, lineal=dataclasses.replace(layout.lineal, env=layout.lineal.env | NOWHERE))


def test_a_submodule_and_a_file_of_lfs_are_in_the_image(shop: Project) -> None:
    built = shop.build()
    files = shop.contents.files(built.digests["app"] or "")
    assert files["vendor/lib/a.c"] == b"1"
    assert files["vendor/lib/m.bin"] == BIG
    # Another machine knows the same checksums; and with all of it in the store it needs no content.
    other = shop.clone("other")
    update(other.repo)
    assert (other.plan().checksums, other.build().made) == (built.checksums, [])


def test_what_is_not_here_ends_the_run_with_the_place_and_the_way_out(shop: Project) -> None:
    other = shop.clone("other")
    pinned = shop.repo.git("rev-parse", "HEAD:vendor/lib")
    ran = other.plan(code=BadConfiguration.exit_code)
    assert ran.error.startswith(f"Dockerfile:3: The submodule vendor/lib is pinned to commit {pinned}, which is not")
    assert "`git submodule update --init --recursive`" in ran.error
    update(other.repo)
    ran = other.build(code=BadConfiguration.exit_code)
    assert "vendor/lib/m.bin: is a Git LFS file whose content (sha256:" in ran.error
    # Without both, what does not need them is built.
    bare = shop.clone("bare")
    bare.repo.write({".dockerignore": "vendor\n", "Dockerfile": "FROM scratch\nCOPY . /all/\n"})
    assert bare.build().made == ["COPY"]


def test_what_is_not_committed_in_it_is_named_or_built_with_dev(shop: Project) -> None:
    checkout = servers.Repository(shop.repo.path / "vendor/lib", shop.repo.clock)
    checkout.put({"a.c": "2", "m.bin": BIG})
    ran = shop.plan(code=Uncommitted.exit_code)
    assert "result: vendor/lib/a.c (modified)." in ran.error
    files = shop.contents.files(shop.build("--dev").digests["app"] or "")
    assert (files["vendor/lib/a.c"], files["vendor/lib/m.bin"]) == (b"2", BIG)
    checkout.git("add", "a.c")
    checkout.commit()
    ran = shop.plan(code=Uncommitted.exit_code)
    assert "vendor/lib (checked out at another commit)" in ran.error
    files = shop.contents.files(shop.build("--ignore-uncommitted").digests["app"] or "")
    assert files["vendor/lib/a.c"] == b"1"


def test_the_context_and_the_dockerfile_may_lie_in_it(shop: Project) -> None:
    checkout = servers.Repository(shop.repo.path / "vendor/lib", shop.repo.clock)
    checkout.write({"Dockerfile": "FROM scratch\nCOPY . /\n", ".dockerignore": "docs\n*.bin\n"})
    shop.repo.write({"lineal.yaml": "project: shop\nimages: {app: {context: vendor/lib}}\n"})
    files = shop.contents.files(shop.build().digests["app"] or "")
    assert files.keys() == {"a.c", "Dockerfile", ".dockerignore", ".gitattributes"}
    checkout.put({"Dockerfile": "FROM scratch\nCOPY a.c /\n"})
    assert "vendor/lib/Dockerfile (modified)" in shop.plan(code=Uncommitted.exit_code).error
