"""The assembler against the real engine: the same instruction gives the same files, field by field."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lineal.assemble.copy import CopyItem, copy, make_directories
from lineal.assemble.layer_builder import AssembledLayer
from lineal.assemble.stage_tree import StageTree
from lineal.context.chmod import Chmod
from lineal.engine import Directory
from lineal.errors import BuildFailed
from lineal.oci.types import Layer
from tests.scheduling import cases
from tests.unit.assemble.oracle import (
    BuildError,
    Files,
    FolderTree,
    SavedImage,
    archive,
    docker_build,
    docker_builds,
    engines_files,
    of_the_image,
    with_layer,
)

if TYPE_CHECKING:
    import docker

pytestmark = pytest.mark.engine

SETUP = """
busybox ln -s usr/bin /bin
busybox mkdir -p /etc /data/sub /srv /opt/real /lib32 /lib64
busybox chmod 700 /data; busybox chown 5:6 /data/sub; busybox chmod 1777 /srv
busybox ln -s /opt/real /lnk; busybox ln -s /nowhere/deep /dang; busybox ln -s /data/f /flink
busybox ln -s ../srv /opt/up; busybox echo x > /data/f; busybox ln /data/f /opt/hard; busybox chmod 4755 /data/f
busybox echo 32 > /lib32/so; busybox echo 64 > /lib64/so
printf 'root:x:0:0::/:/bin/sh\\napp:x:1000:1001::/:/bin/sh\\n' > /etc/passwd
printf 'root:x:0:\\nstaff:x:50:app\\n' > /etc/group
"""
MODES = """
busybox mkdir -p /root /home/app /tmp /var/www /sp/q/r/s
busybox chmod 700 /root; busybox chmod 1777 /tmp; busybox chmod 711 /sp/q
busybox chown 1000:1001 /home/app; busybox chmod 750 /home/app
busybox chown 5:33 /var/www; busybox chmod 2775 /var/www
busybox ln -s /home/app /h; busybox ln -s ../var/www /opt/www
"""
CHANGE = "busybox rm /lib32/so; busybox echo new > /lib32/two; busybox rm -r /opt/real; busybox mkdir /opt/real"
COMMANDS = (SETUP.strip() + MODES.rstrip()).replace("\\", "\\\\").replace("\n", ";")
BASE = f"""FROM scratch AS base
COPY busybox /usr/bin/busybox
RUN ["/usr/bin/busybox", "sh", "-c", "{COMMANDS}"]
RUN ["/usr/bin/busybox", "sh", "-c", "{CHANGE}"]
FROM base
"""


@dataclass(frozen=True)
class Case:
    name: str
    instruction: str
    workdir: str = "/"
    directory: tuple[int, int] | None = None
    user: str = ""


def _cases(text: str) -> list[Case]:
    rows = (line.split("|", 1) for line in text.strip().splitlines())
    return [Case(name.strip(), instruction.strip()) for name, instruction in rows]


# What a newer BuildKit does otherwise (special bits of --chmod, --chown of archives) is in tests/differential.
COPIES = _cases("""
file to a new path                                | COPY a.txt /new
file into a new directory                         | COPY a.txt /new/
file below missing parents                        | COPY a.txt /x/y/z
executable keeps its bit                          | COPY run.sh /usr/local/bin/
several files to one path: the last one stays     | COPY a.txt b.txt /new
several files into a directory                    | COPY a.txt b.txt /new/
file into an existing directory without slash     | COPY a.txt /data
file through a link to a directory                | COPY a.txt /lnk
file through a link to a directory with slash     | COPY a.txt /lnk/
file through a relative link                      | COPY a.txt /opt/up/k
file through /bin -> usr/bin                      | COPY run.sh /bin/tool
file to relative bin                              | COPY run.sh bin
file to a link that leads nowhere                 | COPY a.txt /dang
file to a link that leads nowhere with slash      | COPY a.txt /dang/
file over a link to a file                        | COPY a.txt /flink
file over a file                                  | COPY a.txt /data/f
dot-dot in the destination is lexical             | COPY a.txt /lnk/../r
destination slash dot                             | COPY a.txt /data/.
source above the context is clamped               | COPY ../a.txt /x
source with dot-dot inside                        | COPY d/../a.txt /x
source file with a slash                          | COPY a.txt/ /x
directory to a new path                           | COPY d /fresh
directory into the root                           | COPY d /
directory over nested existing directories        | COPY e /
directory into a sticky directory                 | COPY d/ /srv
directory slash dot                               | COPY d/. /q/.
directory and a file                              | COPY d d/one /x/
whole context                                     | COPY . /x
whole context into the working directory          | COPY . .
link to a file is followed                        | COPY ls /x
link to a file is followed, into a directory      | COPY ls /x/
link to a directory is followed                   | COPY ld /x
source through a link                             | COPY ld/sub /x
wildcard through a link                           | COPY ld/sub/* /x
wildcard takes links too                          | COPY l* /x/
wildcard without match copies nothing             | COPY no* /x/
wildcard over a directory and files               | COPY d/* /x/
question mark and class                           | COPY [a-b].tx? /x/
negated class                                     | COPY [^a].txt /x/
empty directory                                   | COPY --from=base /srv /n
chown by number                                   | COPY --chown=2000 d /fresh
chown by two numbers                              | COPY --chown=7:8 a.txt /x/y
chown by name brings the group                    | COPY --chown=app a.txt /x/y/z
chown by name and group                           | COPY --chown=app:staff a.txt /x/y/
chown by number and group name                    | COPY --chown=7:staff a.txt /x/
chown by group alone                              | COPY --chown=:staff a.txt /x/
chown by an unknown name is root                  | COPY --chown=nobody a.txt /x/
chown by an unknown group keeps the user's        | COPY --chown=app:nogrp a.txt /x/
chown by a colon                                  | COPY --chown=: a.txt /var/www/n/
chown leaves the existing destination alone       | COPY --chown=app d /data
chown of several into an owned directory          | COPY --chown=app a.txt b.txt /data/sub/
chmod of a directory into the root                | COPY --chmod=600 d /
new passwd                                        | COPY passwd /etc/passwd
from: directory with owners                       | COPY --from=base /data /n
from: a file that is a link                       | COPY --from=base /flink /n
from: through a link                              | COPY --from=base /lnk /n
from: everything                                  | COPY --from=base / /n/
from: chown                                       | COPY --from=base --chown=app /data/sub/.. /n
from: wildcard in the middle                      | COPY --from=base /lib*/so /n/
from: wildcard at the end                         | COPY --from=base /lib32/* /n/
from: what an upper layer removed and remade      | COPY --from=base /opt /n
from: a file that became a hard link              | COPY --from=base /opt/hard /n
from: several                                     | COPY --from=base /etc/passwd /usr/bin/busybox /n/
from: relative path                               | COPY --from=base etc/group /n
below a private directory                         | COPY a.txt /root/req
below the directory of a user                     | COPY d /home/app/
below a directory of all                          | COPY a.txt /tmp/n/
below a directory with a mode two levels up       | COPY a.txt /sp/q/r/s/x
below a link to the directory of a user           | COPY a.txt /h/
below a relative link to a setgid directory       | COPY a.txt /opt/www/n/
below several of them                             | COPY a.txt b.txt /home/app/x/y/
over the directory of a user                      | COPY over /
below a setgid directory                          | COPY a.txt /var/www/
below a setgid directory: missing parents         | COPY d /var/www/n/m
below a setgid directory: contents                | COPY d/ /var/www
below a setgid directory: chown                   | COPY --chown=7:8 d /var/www/n/
below a setgid directory: chown by root           | COPY --chown=0:0 d /var/www/n/
below a setgid directory: add a tar               | ADD a.tar /var/www
below a setgid directory: add a tar deeper        | ADD a.tar /var/www/n/
below a setgid directory: a tar without parents   | ADD miss.tar /var/www
from: into a private directory                    | COPY --from=base /data /root/
from: a setgid directory                          | COPY --from=base /var /n/
from: into a setgid directory                     | COPY --from=base /sp /var/www/n/
from: over a setgid directory                     | COPY --from=base /home /var/
add a tar into the directory of a user            | ADD dot.tar /home/app
add a tar below a link                            | ADD a.tar /h/n
add is copy for a file                            | ADD junk /n
add is copy for a directory                       | ADD d /n
add a gzip that is no tar                         | ADD one.gz /n
add an empty tar                                  | ADD empty.tar /n
add a tar                                         | ADD a.tar /n
add a tar: chmod does nothing                     | ADD --chmod=700 a.tar /n/
add a tar through a link                          | ADD a.tar /lnk
add a gzip tar                                    | ADD t.tgz /n
add a bzip2 tar                                   | ADD t.tbz /n
add an xz tar                                     | ADD t.txz /n
add a tar with ./                                 | ADD dot.tar /data
add a tar that goes through /bin                  | ADD thru.tar /
add a tar that replaces /bin by a directory       | ADD binabs.tar /
add a tar with absolute names                     | ADD abs.tar /n
add a tar with dot-dot                            | ADD up.tar /n/m
add a tar: file over a directory                  | ADD fod.tar /
add a tar: link over a directory                  | ADD lod.tar /
add a tar: directory over a file                  | ADD dof.tar /data
add a tar: directory removed and made again       | ADD redo.tar /
add a tar: existing directory changes             | ADD exist.tar /
add a tar: special files                          | ADD special.tar /n
add a tar: through its own link                   | ADD chain.tar /n
add several                                       | ADD a.tar dot.tar junk /n/
add by wildcard                                   | ADD a*.tar /n/
""")

WORKDIRS = [
    Case("copy into a new working directory", "COPY a.txt .", "/w/v", (0, 0)),
    Case("copy below a new working directory", "COPY a.txt sub/", "/w/v", (0, 0)),
    Case("copy into an existing working directory", "COPY a.txt ./", "/data", (0, 0)),
    Case("working directory through a link", "COPY a.txt k", "/lnk/k", (0, 0)),
    Case("working directory of a user, files of root", "COPY a.txt sub/", "/w/v", (1000, 1001), "app"),
    Case("working directory below a setgid directory", "COPY a.txt sub/", "/var/www/w/v", (0, 0)),
    Case("working directory of a user below a setgid one", "COPY a.txt z/", "/var/www/w", (1000, 1001), "app"),
    Case("existing working directory", "COPY a.txt .", "/home/app", (0, 0)),
    Case("working directory of a number", "COPY a.txt .", "/w/v", (55, 55), "55"),
]

CLOSING = [
    Case("closing working directory", "", "/w/v", (0, 0)),
    Case("closing working directory behind a dead link", "", "/dang/k", (0, 0)),
    Case("closing working directory of a user", "", "/w", (1000, 1001), "app"),
    Case("closing working directory in a private one", "", "/root/w", (0, 0)),
    Case("closing working directory below a setgid one", "", "/var/www/w/v", (0, 0)),
]

REFUSED = _cases("""
directory over a link                 | COPY p /
directory over the link /bin          | COPY p2 /
file over a directory                 | COPY fd /
absent source                         | COPY absent /x
dead link                             | COPY bad /x
wildcard: file, then directory        | COPY --from=base /data/* /n
broken archive                        | ADD trunc.tar /n
archive with a hard link out of it    | ADD hup.tar /n
""")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("context")
    shutil.copy("/bin/busybox", root / "busybox")
    for name in (
        "d/data/sub/deep",
        "e/data/sub",
        "e/opt/real",
        "e/srv",
        "p/etc",
        "p/lnk",
        "p2/bin",
        "fd",
        "over/home/app/n",
    ):
        (root / name).mkdir(parents=True)
    for name in ("a.txt", "b.txt", "d/one", "d/data/sub/deep/z", "e/data/sub/n", "p/lnk/q", "p2/bin/t", "fd/data"):
        (root / name).write_text(name)
    (root / "e/srv/k").write_text("k")
    (root / "over/home/app/n/k").write_text("k")
    (root / "p/etc/x").write_text("x")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "passwd").write_text("root:x:0:0::/:/bin/sh\nother:x:7:8::/:/bin/sh\n")
    for name, target in (("d/s", "one"), ("ls", "a.txt"), ("ld", "d/data"), ("bad", "nope")):
        (root / name).symlink_to(target)
    for name, data in _archives().items():
        (root / name).write_bytes(data)
    return root


def _archives() -> dict[str, bytes]:
    plain = archive(
        ("x/f", "f", 0o4750, 3, 4, b"hi"),
        ("x", "d", 0o711, 8, 9, ""),
        ("l", "l", 0o777, 1, 2, "x/f"),
        ("h", "h", 0o4750, 3, 4, "x/f"),
    )
    again = (("data", "f", 0o644, 0, 0, b"n"), ("data", "d", 0o750, 0, 0, ""), ("data/n", "f", 0o644, 0, 0, b"n"))
    return {
        "a.tar": plain,
        "t.tgz": gzip.compress(plain),
        "t.tbz": bz2.compress(plain),
        "t.txz": lzma.compress(plain),
        "trunc.tar": plain[:1600],
        "miss.tar": archive(("mm/nn/f", "f", 0o644, 3, 4, b"f")),
        "dot.tar": archive(("./", "d", 0o700, 8, 9, ""), ("./q", "f", 0o600, 1, 1, b"q")),
        "thru.tar": archive(("bin/new", "f", 0o755, 0, 0, b"n")),
        "binabs.tar": archive(("bin/", "d", 0o755, 0, 0, ""), ("bin/new", "f", 0o755, 0, 0, b"n")),
        "abs.tar": archive(("/abs/f", "f", 0o644, 0, 0, b"n")),
        "up.tar": archive(("../up", "f", 0o644, 0, 0, b"n")),
        "fod.tar": archive(("data", "f", 0o644, 0, 0, b"n")),
        "lod.tar": archive(("data", "l", 0o777, 0, 0, "/srv")),
        "dof.tar": archive(("f", "d", 0o755, 0, 0, ""), ("f/x", "f", 0o644, 0, 0, b"n")),
        "redo.tar": archive(*again),
        "exist.tar": archive(("data", "d", 0o750, 7, 7, "")),
        "special.tar": archive(("fifo", "p", 0o644, 0, 0, ""), ("null", "c", 0o666, 0, 0, "")),
        "chain.tar": archive(
            ("s", "l", 0o777, 0, 0, "x"), ("x", "d", 0o755, 0, 0, ""), ("s/in", "f", 0o644, 0, 0, b"i")
        ),
        "hup.tar": archive(("hh", "h", 0o644, 0, 0, "../etc/passwd")),
        "empty.tar": bytes(10240),
        "one.gz": gzip.compress(b"plain text"),
        "junk": b"x" * 2000,
    }


@pytest.fixture(scope="module")
def base(context: Path) -> SavedImage:
    return docker_build(BASE, context)


def assemble(case: Case, base: SavedImage, context: Path, workspace: Path) -> AssembledLayer:
    words = shlex.split(case.instruction)
    flags = dict(word[2:].split("=") for word in words if word.startswith("--"))
    *sources, destination = [word for word in words[1:] if not word.startswith("--")]
    filesystem = base.filesystem()
    tree = StageTree.read(filesystem, base.sources(), sources, workspace) if "from" in flags else FolderTree(context)
    return copy(
        filesystem,
        len(base.layers),
        [CopyItem(tree, source, unpack=words[0] == "ADD") for source in sources],
        destination=destination,
        workdir=case.workdir,
        chown=flags.get("chown"),
        chmod=Chmod(flags["chmod"]) if "chmod" in flags else None,
        workspace=workspace,
        directories=_directories(case),
    )


def _directories(case: Case) -> list[Directory]:
    return [Directory(case.workdir, 0o755, *case.directory)] if case.directory else []


def _dockerfile(case: Case) -> str:
    user = f"USER {case.user}\n" if case.user else ""
    workdir = f"WORKDIR {case.workdir}\n" if case.workdir != "/" else ""
    return f"{BASE}{user}{workdir}{case.instruction}\n"


def _named(case: Case) -> str:
    return case.name


@dataclass(frozen=True)
class Compared:
    """A case by `docker build` and by Lineal; what the engine makes of Lineal's layer."""

    expected: SavedImage | BuildError
    assembled: AssembledLayer | BuildFailed
    engine: Files


@pytest.fixture(scope="module")
def compared(
    request: pytest.FixtureRequest,
    base: SavedImage,
    context: Path,
    engine: docker.DockerClient,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Compared]:
    """All cases that were asked for, by name."""
    chosen = cases(request, *COMPARISONS)
    expected = docker_builds({case.name: _dockerfile(case) for case in chosen}, context)
    ours = {case.name: _assembled(case, base, context, tmp_path_factory.mktemp("workspace")) for case in chosen}
    images = {name: _with(base, one.layer) for name, one in ours.items() if isinstance(one, AssembledLayer)}
    files = engines_files(images, engine)
    return {name: Compared(expected[name], one, files.get(name, {})) for name, one in ours.items()}


def _assembled(case: Case, base: SavedImage, context: Path, workspace: Path) -> AssembledLayer | BuildFailed:
    try:
        if case.instruction:
            return assemble(case, base, context, workspace)
        made = make_directories(base.filesystem(), len(base.layers), _directories(case), workspace)
        assert made is not None
        return made
    except BuildFailed as failed:
        assert not list(workspace.glob("layer-*")), "no file is left behind"
        return failed


def _with(base: SavedImage, layer: Layer) -> SavedImage:
    return SavedImage([*base.layers, gzip.decompress(layer.path.read_bytes())])


def _check_same(found: Compared, base: SavedImage) -> None:
    assert isinstance(found.expected, SavedImage), found.expected
    assert isinstance(found.assembled, AssembledLayer), found.assembled
    files = found.expected.files()
    assert with_layer(base, found.assembled.layer) == files
    assert found.engine == of_the_image(files)


@pytest.mark.parametrize("case", COPIES + WORKDIRS, ids=_named)
def test_the_same_files_as_docker_build(case: Case, base: SavedImage, compared: dict[str, Compared]) -> None:
    found = compared[case.name]
    _check_same(found, base)
    # The index that is carried on equals the one that reading the result gives.
    assert isinstance(found.assembled, AssembledLayer)
    assert found.assembled.filesystem == _with(base, found.assembled.layer).filesystem()


@pytest.mark.parametrize("case", CLOSING, ids=_named)
def test_the_same_closing_working_directory(case: Case, base: SavedImage, compared: dict[str, Compared]) -> None:
    _check_same(compared[case.name], base)


@pytest.mark.parametrize("case", REFUSED, ids=_named)
def test_what_docker_build_refuses_is_refused(case: Case, compared: dict[str, Compared]) -> None:
    assert isinstance(compared[case.name].expected, BuildError)
    assert isinstance(compared[case.name].assembled, BuildFailed)


COMPARISONS = (
    test_the_same_files_as_docker_build,
    test_the_same_closing_working_directory,
    test_what_docker_build_refuses_is_refused,
)


def test_the_engine_loads_and_runs_an_assembled_layer(base: SavedImage, context: Path, tmp_path: Path) -> None:
    """The engine's own reading of our tar: links, long names and bytes that are no UTF-8."""
    source = tmp_path / "source"
    long = source / ("n" * 120) / ("m" * 120)
    long.mkdir(parents=True)
    (long / "file").write_text("long")
    (source / "bin").mkdir()
    (source / "bin" / "été").write_text("accent")
    tree = FolderTree(source)
    kwargs = {"workdir": "/", "chown": None, "chmod": None, "workspace": tmp_path}
    copied = copy(
        base.filesystem(),
        len(base.layers),
        [CopyItem(tree, ".")],
        destination="/t",
        **kwargs,  # type: ignore[arg-type]
    )
    (tmp_path / "rootfs.tar").write_bytes(gzip.decompress(copied.layer.path.read_bytes()))
    shutil.copy("/bin/busybox", tmp_path / "busybox")
    dockerfile = (
        "FROM scratch\nCOPY busybox /busybox\nADD rootfs.tar /\n"
        f'RUN ["/busybox", "sh", "-c", "test long = $(/busybox cat /t/{"n" * 120}/{"m" * 120}/file) '
        '&& test accent = $(/busybox cat /t/bin/été)"]\n'
    )
    files = docker_build(dockerfile, tmp_path).files()
    assert files[f"t/{'n' * 120}/{'m' * 120}/file"][5] == b"long"
