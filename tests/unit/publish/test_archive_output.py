"""`--output` of a build: what it takes, and what it refuses in one sentence."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from lineal.errors import BadConfiguration
from lineal.publish.archive_output import ArchiveOutput, parse_outputs
from lineal.session.settings import Settings


def test_an_output_is_read_as_docker_s_command_reads_it() -> None:
    texts = ("type=oci,dest=a.tar", "dest=-,TYPE=docker,tar=true", 'type=oci,"dest=b,c",tar=false')
    assert parse_outputs(texts, "--output") == (
        ArchiveOutput("oci", "a.tar"), ArchiveOutput("docker", "-"), ArchiveOutput("oci", "b,c", tar=False)
    )  # fmt: skip


@pytest.mark.parametrize(("text", "said"), [
    ("image.tar", "'image.tar' is not KEY=VALUE"),
    ("", "has no type"),
    ("dest=a.tar", "has no type"),
    ("type=tar,dest=a.tar", "has the type 'tar', which is none"),
    ("type=oci", "does not say where to write"),
    ("type=docker,dest=", "does not say where to write"),
    ("type=oci,dest=a.tar,compression=zstd", "has the key 'compression', which is not known"),
    ("type=oci,dest=a,dest=b", "has the key 'dest' twice"),
    ("type=oci,dest=a,tar=perhaps", "`tar` is 'perhaps'"),
    ("type=docker,dest=a,tar=false", "only type=oci can be a directory"),
    ("type=oci,dest=-,tar=false", "only type=oci can be a directory"),
    ('type=oci,"dest=a', "cannot be read"),
])  # fmt: skip
def test_what_is_no_output_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        parse_outputs((text,), "--output")
    assert re.sub(r"[^\w,=. ]", "", said) in re.sub(r"[^\w,=. ]", "", refused.value.message)
    assert refused.value.remedy


def test_two_outputs_are_two_files() -> None:
    with pytest.raises(BadConfiguration, match="would write"):
        parse_outputs(("type=oci,dest=a", "type=docker,dest=./a"), "--output")


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for one in (
        ArchiveOutput("oci", f"{tmp_path}/none/a.tar"), ArchiveOutput("oci", f"{tmp_path}/empty"),
        ArchiveOutput("oci", f"{tmp_path}/fifo"), ArchiveOutput("oci", f"{tmp_path}/full", tar=False),
        ArchiveOutput("oci", f"{tmp_path}/full/file", tar=False),
    ):  # fmt: skip
        with pytest.raises(BadConfiguration):
            one.check()
    for one in (
        ArchiveOutput("docker", f"{tmp_path}/full/file"),
        ArchiveOutput("oci", f"{tmp_path}/empty", tar=False),
    ):
        one.check()


def test_the_directory_of_render_is_no_output_of_a_build() -> None:
    assert Settings.of(environ={"LINEAL_OUTPUT": "manifests"}).outputs.value == ()
    found = Settings.of(environ={"LINEAL_BUILD_OUTPUT": "type=oci,dest=a\ntype=docker,dest=b\n"}).outputs
    assert [one.type for one in found.value] == ["oci", "docker"]
    assert str(found.origin) == "LINEAL_BUILD_OUTPUT"
