"""`RUN --mount`: its options as BuildKit reads them, and those that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from lineal.dockerfile.scope import finish
from tests.unit.dockerfile.parts import refusal, run
from tests.unit.stages.workbench import Files, planned


def test_every_kind_of_mount() -> None:
    mounts = run(
        "RUN --mount=target=/src --mount=type=bind,from=img:1,src=/x,dst=$W/y,rw --mount=type=cache,target=/c,id=i,"
        "sharing=locked,mode=0700,uid=1,gid=2 --mount=type=tmpfs,destination=/t,size=100 "
        "--mount=type=secret,id=s,required,mode=0444 --mount=type=secret,target=/run/other "
        "--mount=type=secret,id=e,env=TOKEN --mount=type=secret,source=a/r,target=rel --mount=type=ssh "
        "--mount=type=ssh,id=k,target=/s,mode=0660,uid=3,required=true make"
    ).mounts  # fmt: skip
    context, image, cache, tmpfs, secret, named, variable, relative, ssh, key = mounts
    assert (context.type, context.source, context.source_stage, context.writable) == ("bind", "", None, False)
    assert (image.source, image.source_stage, image.writable) == ("/x", "img:1", True)
    assert finish(image.target, {"W": "/w"}) == "/w/y"
    assert (cache.id, cache.sharing, cache.mode, cache.uid, cache.gid) == ("i", "locked", 0o700, 1, 2)
    assert (tmpfs.target, tmpfs.size) == ("/t", 100)
    assert (secret.id, secret.target, secret.required, secret.mode) == ("s", "/run/secrets/s", True, 0o444)
    assert (named.id, named.target) == ("other", "/run/other")
    assert (variable.variable, variable.target) == ("TOKEN", "")
    assert (relative.id, relative.target) == ("a/r", "rel")
    assert (ssh.id, ssh.target, ssh.mode, ssh.required) == ("default", "", None, False)
    assert (key.id, key.target, key.mode, key.uid, key.required) == ("k", "/s", 0o660, 3, True)


def test_the_number_after_the_last_user_leaves_a_mount_to_root() -> None:
    """As in BuildKit: chown(2) takes it as "leave it as it is"."""
    numbers = [4294967294, 4294967295]
    mounts = [run(f"RUN --mount=type=cache,target=/c,uid={number},gid={number} x").mounts[0] for number in numbers]
    assert [(mount.uid, mount.gid) for mount in mounts] == [(4294967294, 4294967294), (0, 0)]


def test_a_cache_is_called_by_its_target_unless_named() -> None:
    assert run("RUN --mount=type=cache,target=/root/.cache/ x").mounts[0].id == "/root/.cache"
    assert run("RUN --mount=type=cache,target=$HOME/.cache x").mounts[0].id == ""


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ("type=CACHE,target=/c", {"type": "cache"}),
        ("target=/c,type=cache,ro", {"readonly": True}),
        ("type=cache,target=/c,ro,rw=true", {"readonly": False}),
        ("type=cache,target=/c,rw=F", {"readonly": True}),
        ("target=/c,ro=false", {"writable": True}),
        ("target=/c,rw,readonly", {"writable": False}),
        ("target=/c,from=", {"source_stage": None}),
        ("type=tmpfs,target=/c,size=1.5k", {"size": 1536}),
        ("type=tmpfs,target=/c,size=64MB", {"size": 64 << 20}),
        ("type=tmpfs,target=/c,size=1GiB,readonly=1", {"size": 1 << 30, "readonly": True}),
        ("type=secret,id=a/b", {"target": "/run/secrets/b"}),
        ("type=secret,target=/x/y", {"id": "y"}),
        ("type=secret,id=s,env=T,target=/t", {"variable": "T", "target": "/t"}),
        ("type=$T,id=$I,sharing=${S},uid=$U,target=/c", {"type": "cache", "id": "i", "sharing": "locked", "uid": 7}),
        ('"type=cache","target=/a,b"', {"target": "/a,b"}),
        ("type=cache,target=/c,mode=1777", {"mode": 0o777}),
        ("type=cache,target=/c,from=img:1,source=/s", {"source_stage": "img:1", "source": "/s"}),
        ("type=cache,target=/c,from=img:1,source=/./", {"source_stage": "img:1", "source": ""}),
        ("type=cache,target=/c,from=img:1,uid=5", {"source_stage": None, "uid": 5}),
        ("type=cache,target=/c,from=img:1,source=s,uid=5", {"source_stage": "img:1"}),
    ],
)
def test_options_of_a_mount_are_read_as_buildkit_reads_them(options: str, fields: dict[str, Any]) -> None:
    (mount,) = run(
        f"ARG T=cache I=i S=locked U=7\nRUN --mount={options.replace(chr(34), chr(92) + chr(34))} x"
    ).mounts
    assert {name: getattr(mount, name) for name in fields} == fields


def test_a_mount_s_source_is_a_path_and_no_pattern() -> None:
    files: Files = {"app/[id]/page": "x", "app/i/page": "y"}
    last = planned("FROM b:1\nRUN --mount=source=app/[id],target=/s x\n", files)
    assert [root for root, _ in last.inputs["mounted"]["0"]] == ["app/[id]"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("RUN --mount=type=npipe,target=/n x", "type=npipe is not known, only bind, cache, secret, ssh, tmpfs"),
        ("RUN --mount=type=ssh,source=a x", "no option 'source'"),
        ("RUN --mount=target=/x/.. x", "its target is the root directory"),
        ("RUN --mount=type=cache,target=/c,source=s x", "needs from="),
        ("RUN --mount=target=/c,from=$X x", "from does not expand variables"),
        ("RUN --mount=target=/c,from=0 x", "cannot name a target by its number"),
        ("RUN --mount=target=/c,source=a* x", "wildcards mean themselves"),
        ("RUN --mount=type=secret,id=a,source=b x", "which mean the same"),
        ("RUN --mount=type=secret,id=a,env= x", "env needs the name"),
        ("RUN --mount=type=cache,target=/c,mode=0o755 x", "octal mode"),
        ("RUN --mount=type=cache,target=/c,uid=4294967296 x", "uid=4294967296: the last number"),
        ("RUN --mount=type=cache,target=/c,rw=yes x", "neither true nor false"),
        ("RUN --mount=type=cache,target=/c,shared=no x", "no option 'shared'"),
        ("RUN --mount=type=cache,target=/c,sharing=some x", "sharing=some"),
        ("RUN --mount=type=cache,target=/c,uid=me x", "--mount="),
        ("RUN --mount=type=cache,target=/c,mode=9 x", "--mount="),
        ("RUN --mount=type=secret x", "an id or a target"),
        ("RUN --mount=type=secret,id=a,required=perhaps x", "neither true nor false"),
        ("RUN --mount=type=$X,target=/c x", "type=$X has a variable that only the base image may define"),
        ("RUN --mount=target=/c,source=$X/y x", "--mount uses $X"),
        ("RUN --mount=type=tmpfs,target=/t,size=big x", "--mount="),
        ("RUN --mount=type=bind,target=/t,source=nope x", "no such file"),
        ("RUN --mount=type=bind,target=/t,from=9 x", "not a target above"),
        ("RUN --mount=target x", "needs a value"),
        ("RUN --mount x", "needs a value"),
    ],
)
def test_a_mount_that_cannot_be_made_is_refused_with_its_line(text: str, says: str) -> None:
    assert says in refusal(text)
