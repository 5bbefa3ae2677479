from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lineal.config.image_flags import ImageFlags
from lineal.config.load import described_project
from lineal.config.model import Image
from lineal.config.run_options import Ulimit
from lineal.config.template import GitFacts
from lineal.errors import BadConfiguration
from lineal.publish.publication import publications

ROOT = Path("/clone")
GIT = GitFacts("c" * 40, "ccccccc", "main", None, "main")


def image(start: str = "/clone", **flags: Any) -> Image:
    loaded = described_project(ImageFlags(**flags), "shop", Path(start), ROOT, {"TOKEN": "t"})
    ((_, found),) = loaded.project.images.items()
    return found


def test_each_flag_is_a_key_of_the_image() -> None:
    found = image(
        words=("api/",), file="docker/Dockerfile", target="runtime", build_arg=("A=1=2", "TOKEN", "NOT_SET"),
        label=("a=b", "bare"), add_host=("db:10.0.0.1", "six=[::1]"), shm_size="64m", ulimit=("nofile=1:2", "core=0"),
        cgroup_parent="builds", build_context=("web=web/dist", "alpine=docker-image://alpine:3.22"),
    )  # fmt: skip
    assert (found.context, found.dockerfile, found.target) == ("api", "docker/Dockerfile", "runtime")
    assert found.args == {"A": "1=2", "TOKEN": "t"}, "a name alone is this machine's variable, if it is set"
    assert found.labels == {"a": "b", "bare": ""}
    assert found.add_hosts == {"db": "10.0.0.1", "six": "::1"}
    assert found.ulimits == {"nofile": Ulimit(soft=1, hard=2), "core": 0}
    assert (found.shm_size, found.cgroup_parent, found.cache_version) == ("64m", "builds", "")
    assert found.contexts["web"].context == "web/dist"
    assert found.contexts["alpine"].image == "alpine:3.22"


def test_paths_begin_where_the_command_runs() -> None:
    found = image("/clone/services", words=(".",), file="../docker/api")
    assert (found.context, found.dockerfile) == ("services", "docker/api")
    assert image(words=("/clone/a",)).context == "a"
    assert image(target="x").context == "."


def test_each_build_without_a_cache_is_one_of_its_own() -> None:
    assert image(no_cache=True).cache_version != image(no_cache=True).cache_version != ""


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"words": ("a", "b")}, "one directory"),
        ({"words": ("..",)}, "outside of the repository"),
        ({"words": ("-",)}, "standard input"),
        ({"words": ("https://me:hunter2@example.com/a.git",)}, "elsewhere"),
        ({"file": "/etc/passwd"}, "--file"),
        ({"build_arg": ("pass word",)}, "--build-arg"),
        ({"tag": ("A/b",)}, "--tag"),
        ({"tag": ("a@sha256:" + "a" * 64,)}, "digest"),
        ({"push": True}, "--push does not say where to"),
        ({"annotation": ("a=b",)}, "--push"),
        ({"annotation": ("index-descriptor:a=b",), "push": True, "tag": ("a",)}, "index-descriptor"),
        ({"annotation": ("a=b", "index:a=c"), "push": True, "tag": ("a",)}, "two values"),
        ({"add_host": ("db",)}, "no address"),
        ({"add_host": ("db:nowhere",)}, "--add-host"),
        ({"ulimit": ("nofile=many",)}, "no number"),
        ({"ulimit": ("nofil=1",)}, "Did you mean `nofile`"),
        ({"shm_size": "much"}, "--shm-size"),
        ({"build_context": ("a=oci-layout://b",)}, "oci-layout"),
        ({"label": ("=b",)}, "not KEY=VALUE"),
    ],
)
def test_what_cannot_be_names_its_flag(flags: dict[str, Any], said: str) -> None:
    with pytest.raises(BadConfiguration) as raised:
        image(**flags)
    assert said in str(raised.value)
    assert "hunter2" not in str(raised.value) and "pass word" not in str(raised.value)


def test_each_name_is_published_in_its_own_repository() -> None:
    names = ("user/app:1.0", "ghcr.io/acme/app", "ghcr.io/acme/app:1.0", "ghcr.io/acme/app:1.0", "localhost:5000/x:y")
    flags = ImageFlags(tag=names, push=True, annotation=("manifest,index:a=b",))
    loaded = described_project(flags, "shop", ROOT, ROOT, {})
    (found,) = publications(loaded, GIT, "layout:store").values()
    assert {repo: [tag.name for tag in found.tags_of("sha256:0", repo)] for repo in found.repositories} == {
        "docker.io/user/app": ["1.0"],
        "ghcr.io/acme/app": ["latest", "1.0"],
        "localhost:5000/x": ["y"],
    }
    assert (found.image, found.annotations) == ("app", {"a": "b"})


def test_without_push_nothing_is_published() -> None:
    loaded = described_project(ImageFlags(tag=("ghcr.io/acme/app",)), "shop", ROOT, ROOT, {})
    assert publications(loaded, GIT, "layout:store") == {}
