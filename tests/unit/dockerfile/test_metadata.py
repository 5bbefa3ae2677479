"""Metadata instructions: the config must be the one that `docker build` makes."""

from __future__ import annotations

from typing import Any

import pytest

from lineal.dockerfile import metadata
from lineal.errors import BadConfiguration
from tests.unit.dockerfile.oracle import BuildError, Docker, ours
from tests.unit.stages.workbench import planned

BASE = """FROM scratch
ENV BASE=b OPEN="from the base"
CMD ["base", "cmd"]
ENTRYPOINT ["base-entry"]
CMD ["base", "cmd"]
WORKDIR /base
USER 7
EXPOSE 1
VOLUME /base
LABEL base=1 both=base
STOPSIGNAL SIGINT
SHELL ["/base/sh", "-c"]
HEALTHCHECK CMD base
"""

ON_SCRATCH = [
    "ENTRYPOINT []", "CMD []", "CMD", "ENTRYPOINT", 'CMD ["a"]\nENTRYPOINT ["b"]', 'ENTRYPOINT ["b"]\nCMD ["a"]',
    'ENTRYPOINT ["x"]\nENTRYPOINT []', 'CMD ["x"]\nCMD []', "CMD echo  $HOME 'x'", "CMD a\nCMD b",
    "HEALTHCHECK cmd x  y", 'HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=5s --retries=3 CMD ["a","b"]',
    "HEALTHCHECK NONE", "HEALTHCHECK --interval=.5h CMD a\nHEALTHCHECK CMD b",
    'ENV A  "x y"  z', "ENV A='$B' C=\"a\\\"b\" D=a\\ b", "ENV A=1 B=$A\nENV A=2 C=$A", 'ENV "A B"=c',
    "ENV A=\nENV B=x$A",
    "ENV A=x \\\n  B=y", "ENV PATH=/opt:$PATH", "ENV A=1\nENV B=2\nENV A=3",
    'LABEL "com.example"="a b" x=\'y\'', "LABEL a b c", "LABEL a=1 a=2\nLABEL b=$PATH", "LABEL a=one\\\ntwo",
    "EXPOSE 80 443/udp 8000-8003 90/TCP", "ARG P='80 443'\nEXPOSE $P", "EXPOSE 80\nEXPOSE 80 81",
    'VOLUME ["/a","/b c"]', "VOLUME /a /b", "VOLUME ['/a']", "ENV D=/d\nVOLUME $D/x",
    "WORKDIR a\nWORKDIR b/../c/", "WORKDIR ../x", "WORKDIR /a\nWORKDIR /b\nWORKDIR c",
    "ENV D=/d\nWORKDIR $D\nWORKDIR ${D}x",
    "USER a:b", "USER 1 ", "ENV U=me\nUSER $U", "STOPSIGNAL SIGKILL", "STOPSIGNAL 9", "STOPSIGNAL RTMIN+3",
    "STOPSIGNAL term",
    'SHELL ["/bin/bash","-c"]\nCMD x y\nENTRYPOINT z', 'CMD x\nSHELL ["/b"]',
    "ONBUILD RUN x y  z", "ONBUILD   copy a b\nONBUILD ENV x=y", "ARG TARGETOS=foo\nENV A=$TARGETOS",
    "ARG TARGETOS\nENV A=$TARGETOS",
    "ENV A=env\nARG A=arg\nENV B=$A", "ARG A=arg\nENV A=env\nENV B=$A",
]  # fmt: skip
ON_BASE = [
    'ENTRYPOINT ["new"]', 'CMD ["new"]\nENTRYPOINT ["new"]', 'ENTRYPOINT ["new"]\nCMD ["new"]', 'CMD ["new"]',
    "CMD in shell form",
    "ENTRYPOINT in shell form", "WORKDIR sub", "WORKDIR /new", "USER 8", "EXPOSE 2", "VOLUME /new", "LABEL both=new",
    "HEALTHCHECK NONE",
    "ENV BASE=new", "ENV X=$BASE BASE=x", "ENV NEW=$OPEN Y=${OPEN:+set} Z=${NOPE:-unset} P=$PATH",
    "ENV OPEN=$OPEN,more", "ENTRYPOINT []", "CMD []",
    "WORKDIR $BASE", "LABEL x=$BASE", "STOPSIGNAL SIGTERM",
    "ENV A=$OPEN\nENV OPEN=changed\nENV C=$A D=$OPEN", "ENV A=$OPEN\nENV B=$A\nENV A=x\nENV C=$B",
    "ENV OPEN=${OPEN}2\nENV OPEN=${OPEN}3\nENV OPEN=${OPEN}4", "ARG BASE=arg\nENV X=$BASE", "ARG BASE\nENV X=$BASE",
]  # fmt: skip
TARGETS = [
    "FROM scratch AS x\nARG A=arg\nFROM x\nENV B=$A\n",
    "FROM scratch AS x\nENV A=env\nARG A=arg\nFROM x\nENV B=$A\n",
    "ARG A=global\nFROM scratch AS x\nARG A\nENV B=$A\nFROM scratch\nENV C=$A\n",
    "ARG A=1 B=b$A\nFROM scratch\nARG B\nENV X=$B\n",
    'FROM scratch AS x\nCMD ["x"]\nFROM x\nENTRYPOINT ["y"]\n',
    'FROM scratch AS x\nSHELL ["/x"]\nUSER 7\nWORKDIR w\nFROM x\nWORKDIR v\nCMD c\n',
]  # fmt: skip
REFUSED = [
    "HEALTHCHECK --retries=abc CMD x", "HEALTHCHECK CMD",
    "HEALTHCHECK --interval=1us CMD x",
    "HEALTHCHECK --retries=-1 CMD x", "HEALTHCHECK NONE x", "HEALTHCHECK",
    "HEALTHCHECK --interval=5 CMD x",
    "EXPOSE", "EXPOSE 70000", "EXPOSE 9-8", "EXPOSE x", "VOLUME", 'VOLUME [""]', "STOPSIGNAL foo", "STOPSIGNAL",
    "SHELL /bin/sh",
    "ONBUILD ONBUILD RUN x", "ONBUILD FROM x", "ONBUILD", "ENV =x", "ENV A=1 =2", "ENV A", "ENV", "LABEL =x",
    "LABEL", "USER", "WORKDIR",
    "ENV A=${B", "ENV A=${B:?needed}", "ENV A=x\\\n  y",
]  # fmt: skip


@pytest.fixture(scope="module")
def base(builder: Docker) -> tuple[str, dict[str, Any]]:
    name = builder.build(BASE)
    return name, builder.config(name)


@pytest.mark.engine
@pytest.mark.parametrize("text", ON_SCRATCH)
def test_a_config_from_scratch_is_docker_s(text: str, builder: Docker) -> None:
    dockerfile = f"FROM scratch\n{text}\n"
    assert ours(dockerfile) == builder.config(builder.build(dockerfile))


@pytest.mark.engine
@pytest.mark.parametrize("text", ON_BASE)
def test_a_config_on_a_base_is_docker_s(text: str, builder: Docker, base: tuple[str, dict[str, Any]]) -> None:
    name, config = base
    dockerfile = f"FROM {name}\n{text}\n"
    assert ours(dockerfile, config) == builder.config(builder.build(dockerfile))


@pytest.mark.engine
@pytest.mark.parametrize("text", TARGETS)
def test_what_a_target_hands_on_is_docker_s(text: str, builder: Docker) -> None:
    assert ours(text) == builder.config(builder.build(text))


@pytest.mark.engine
@pytest.mark.parametrize("text", REFUSED)
def test_what_docker_refuses_is_refused_with_its_line(text: str, builder: Docker) -> None:
    dockerfile = f"FROM scratch\n{text}\n"
    with pytest.raises(BuildError):
        builder.build(dockerfile)
    with pytest.raises(BadConfiguration) as refused:
        planned(dockerfile)
    assert str(refused.value).startswith("Dockerfile:2: ")


@pytest.mark.engine
def test_given_arguments_reach_the_config(builder: Docker) -> None:
    text = "ARG A=1\nFROM scratch\nARG A\nARG B=2\nENV X=$A$B\n"
    given = {"A": "3", "B": "4"}
    assert ours(text, args=given) == builder.config(builder.build(text, given))


def test_a_directory_is_resolved_against_the_working_directory() -> None:
    assert metadata.resolve_directory({"WorkingDir": "/a/b"}, "../c/./d/") == "/a/c/d"
    assert metadata.resolve_directory({}, "x") == "/x"
    assert metadata.resolve_directory({"WorkingDir": "/a"}, "//x") == "/x"
    assert metadata.resolve_directory({"WorkingDir": "/"}, "../../x") == "/x"


def test_an_author_is_kept() -> None:
    document: dict[str, Any] = {}
    for meta in planned("FROM x\nMAINTAINER Ada Example\n").metadata:
        metadata.apply(document, meta, str)
    assert document["author"] == "Ada Example"


def test_a_start_interval_is_kept_although_an_old_engine_does_not_know_it() -> None:
    found = ours("FROM scratch\nHEALTHCHECK --start-interval=2s CMD x\n")
    assert found["Healthcheck"] == {"Test": ["CMD-SHELL", "x"], "StartInterval": 2_000_000_000}


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        # Where a current BuildKit differs from the engine's own: see tests/differential.
        ("HEALTHCHECK --interval=0s --retries=0 --timeout= CMD x", {"Healthcheck": {"Test": ["CMD-SHELL", "x"]}}),
        ("HEALTHCHECK --interval=+1s CMD x", {"Healthcheck": {"Test": ["CMD-SHELL", "x"], "Interval": 10**9}}),
        ("EXPOSE 8080:80 127.0.0.1:1:2/udp", {"ExposedPorts": {"80/tcp": {}, "2/udp": {}}}),
        ("EXPOSE [::1]:3:4 ::1:5:6", {"ExposedPorts": {"4/tcp": {}, "6/tcp": {}}}),
        ("EXPOSE 1-2:8-9 1-9:7 0", {"ExposedPorts": {"8/tcp": {}, "9/tcp": {}, "7/tcp": {}, "0/tcp": {}}}),
        ('ARG P\nEXPOSE 1/ "2" $P', {"ExposedPorts": {"1/tcp": {}, "2/tcp": {}}}),
        ("STOPSIGNAL 99", {"StopSignal": "99"}), ("STOPSIGNAL rtmax-14", {"StopSignal": "rtmax-14"}),
        ("WORKDIR /a/../b/", {"WorkingDir": "/a/../b/"}), ("WORKDIR /a/\nWORKDIR b/", {"WorkingDir": "/a/b"}),
        ('WORKDIR /a\nWORKDIR ""', {"WorkingDir": "/a"}), ('WORKDIR /a\nARG X\nWORKDIR $X', {"WorkingDir": "/a"}),
        ('USER 5\nUSER ""', {}), ('ENV D=" /x"\nVOLUME $D [a', {"Volumes": {" /x": {}, "[a": {}}}),
        ('VOLUME [" /a "]', {"Volumes": {"/a": {}}}),
    ],
)  # fmt: skip
def test_a_current_buildkit_s_config(text: str, fields: dict[str, Any]) -> None:
    found = ours(f"FROM scratch\n{text}\n")
    names = fields or {"User"}
    assert {name: found[name] for name in names if name in found} == fields


@pytest.mark.parametrize(
    "text",
    [
        "EXPOSE 1:70000", "EXPOSE x:80", "EXPOSE 1.2.3:1:2", "EXPOSE 1-3:8-9", "EXPOSE 80/icmp", "EXPOSE :",
        "EXPOSE 1-",
        "STOPSIGNAL 0", "STOPSIGNAL RTMIN+16", "STOPSIGNAL RTMAX-15", 'STOPSIGNAL ""', 'VOLUME [" "]',
        "ARG X\nVOLUME $X",
        "HEALTHCHECK --interval=-1s CMD x", "HEALTHCHECK --interval=1 CMD x", "HEALTHCHECK --retries=1.5 CMD x",
    ],
)  # fmt: skip
def test_what_a_current_buildkit_refuses(text: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        planned(f"FROM scratch\n{text}\n")
    assert str(refused.value).startswith("Dockerfile:")
