"""Makes the one file `lineal`: the command line with all its packages, for a machine that has no more than Python.

    python build.py wheels x86_64 DIR      fetches wheels with pip, each by its hash in requirements/image.txt
    python build.py file DIR FILE          packs src/lineal and these wheels

The same sources and wheels give the same bytes, with the same liblzma. The file is a shell's script and a zip
archive: `main.py` in it unpacks what the Python in use needs. Files of several Pythons are in it once."""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).resolve().parent.parent
_PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_LIBRARIES = {
    "gnu": ("manylinux_2_28", "manylinux_2_27", "manylinux_2_26", "manylinux_2_17", "manylinux2014", "manylinux_2_12",
            "manylinux2010", "manylinux_2_5", "manylinux1"),
    "musl": ("musllinux_1_2", "musllinux_1_1"),
}  # fmt: skip
"""The C library of a machine -> the wheels that it can load, the newest first."""
_LEFT_OUT = re.compile(
    # As in the Dockerfile: what Lineal does not use of its packages, and what is for compilers and typists.
    r"(pygments|markdown_it|mdurl|pycparser|bin|dns|email_validator)/|cffi/|.*\.data/|.*/(tests?|test_data)/|.*\.(pyi|pyx|pxd|c|h|rs)$|.*/py\.typed$"
    r"|dulwich/(__main__\.py|_diff_tree\..*|aiohttp/.*|cli\.py|client\.py|cloud/.*|porcelain/.*|server\.py|web\.py)"
    r"|pydantic/(v1/|mypy\.py)"
    r"|.*\.dist-info/(RECORD|WHEEL|INSTALLER|entry_points\.txt|top_level\.txt|sboms/.*)$"
)
_DATE = (1980, 1, 1, 0, 0, 0)
_SECONDS = 315619200
_HEAD = """\
#!/bin/sh
# Lineal {version} with its packages, for {machine}. The rest of this file is a zip archive.
for python in python3 python3.14 python3.13 python3.12 python3.11 \\
    "${{RUNNER_TOOL_CACHE:-/opt/hostedtoolcache}}"/Python/3.1[1-4].*/*/bin/python3; do
  "$python" -I -S -c 'import lzma, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null &&
    exec "$python" -I -S "$0" "$@"
done
echo 'Error: Lineal needs Python 3.11 to 3.14 with lzma as python3: install it (on GitHub: actions/setup-python).' >&2
exit 3
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the one file `lineal`.")
    commands = parser.add_subparsers(required=True, dest="command")
    wheels = commands.add_parser("wheels", help="fetch the wheels for a processor")
    wheels.add_argument("machine", choices=["x86_64", "aarch64"])
    wheels.add_argument("directory", type=Path)
    file = commands.add_parser("file", help="pack them and Lineal")
    file.add_argument("directory", type=Path)
    file.add_argument("file", type=Path)
    given = parser.parse_args()
    if given.command == "wheels":
        fetch(given.machine, given.directory)
    else:
        pack(given.directory, given.file)


# --- wheels -----------------------------------------------------------------------------------------------------


def fetch(machine: str, directory: Path) -> None:
    """A folder of wheels for each kind of Python, named as the ending of its compiled modules."""
    pure: set[str] = set()
    # Of some packages musl has the pure wheel alone: glibc first, or its Pythons would have no other either.
    for library, platforms in _LIBRARIES.items():
        for python in _PYTHONS:
            folder = directory / f"cpython-{python.replace('.', '')}-{machine}-linux-{library}"
            folder.mkdir(parents=True)
            _download(python, [f"{platform}_{machine}" for platform in platforms], pure, folder)
            for wheel in folder.glob("*-none-any.whl"):
                (directory / "any").mkdir(exist_ok=True)
                wheel.rename(directory / "any" / wheel.name)
                pure.add(str(parse_wheel_filename(wheel.name)[0]))


def _download(python: str, platforms: list[str], there: set[str], folder: Path) -> None:
    lock = folder / "requirements.txt"
    lock.write_text("\n".join(_requirements(python, there)))
    version = python.replace(".", "")
    subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download", "--no-deps",
         "--require-hashes", "--only-binary=:all:", "--implementation=cp", f"--python-version={python}",
         *(f"--abi={abi}" for abi in (f"cp{version}", "abi3", "none")),
         *(f"--platform={platform}" for platform in (*platforms, "any")),
         f"--requirement={lock}", f"--dest={folder}"],
        check=True,
    )  # fmt: skip
    lock.unlink()


def _requirements(python: str, there: set[str]) -> Iterator[str]:
    """The lines of the lock for a Python, but for what is there already. pip would judge by the one it runs in."""
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    for line in (ROOT / "requirements/image.txt").read_text().replace("\\\n", " ").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        words, *hashes = re.split(r" +(?=--hash)", line.strip())
        requirement = Requirement(words)
        if requirement.name not in there and (not requirement.marker or requirement.marker.evaluate(environment)):
            yield " ".join([f"{requirement.name}{requirement.specifier}", *hashes])


# --- the file ---------------------------------------------------------------------------------------------------


def pack(directory: Path, file: Path, how: int = zipfile.ZIP_LZMA) -> None:
    """Writes the file for the wheels that `fetch` left there; `how` it is compressed, which takes half a minute."""
    every = {**_files(directory / "any"), **_lineal()}
    targets = {path.name: every | _files(path) for path in sorted(directory.glob("cpython-*"))}
    archives = _archives(targets)
    names = {chosen: f"{number}.tar" for number, chosen in enumerate(archives)}
    packed = {names[chosen]: _tar(contents) for chosen, contents in archives.items()}
    told = {key: [names[chosen] for chosen in archives if key in chosen] for key in targets}
    content = hashlib.sha256(repr([hashlib.sha256(data).digest() for data in packed.values()]).encode()).hexdigest()
    begin = (ROOT / "onefile/main.py").read_text().replace("ARCHIVES = {}", f"ARCHIVES = {told!r}")
    begin = begin.replace('CONTENT = ""', f"CONTENT = {content[:32]!r}")
    version = re.search(r'^__version__ = "(.*)"$', (ROOT / "src/lineal/__init__.py").read_text(), re.MULTILINE)
    assert version and targets
    machine = next(iter(targets)).split("-")[2]
    with file.open("wb") as out:
        out.write(_HEAD.format(version=version[1], machine=machine).encode())
        with zipfile.ZipFile(out, "a") as archive:
            for name, data in {"__main__.py": begin.encode(), **packed}.items():
                # Python itself finds where to begin in a module that is deflated.
                chosen = zipfile.ZIP_DEFLATED if name.endswith(".py") else how
                archive.writestr(zipfile.ZipInfo(name, _DATE), data, chosen)
    file.chmod(0o755)


def _files(wheels: Path) -> dict[str, bytes]:
    found = {}
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if not name.endswith("/") and not _LEFT_OUT.fullmatch(name) and not _LEFT_OUT.match(name):
                    found[name] = _loaded(archive.read(name))
    return found


def _loaded(data: bytes) -> bytes:
    """What a machine loads of a compiled module. Of some wheels half is for debuggers."""
    if not data.startswith(b"\x7fELF\x02\x01"):
        return data
    (table,), (size, count) = struct.unpack_from("<Q", data, 32), struct.unpack_from("<HH", data, 54)
    segments = [struct.unpack_from("<8xQ16xQ", data, table + number * size) for number in range(count)]
    head = bytearray(data[: max(table + size * count, *(begin + length for begin, length in segments))])
    # The table of sections, which stands behind all that: where, how many, and which has their names.
    struct.pack_into("<Q", head, 40, 0)
    struct.pack_into("<HH", head, 60, 0, 0)
    return bytes(head)


def _lineal() -> dict[str, bytes]:
    source = ROOT / "src"
    files = {
        path.relative_to(source).as_posix(): path.read_bytes()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return {**files, "lineal/LICENSE": (ROOT / "LICENSE").read_bytes()}


def _archives(targets: dict[str, dict[str, bytes]]) -> dict[tuple[str, ...], dict[str, bytes]]:
    """Which Pythons have a file -> all such files."""
    owners: dict[tuple[str, bytes], list[str]] = {}
    for key, files in targets.items():
        for one in files.items():
            owners.setdefault(one, []).append(key)
    found: dict[tuple[str, ...], dict[str, bytes]] = {}
    for (name, data), keys in sorted(owners.items()):
        found.setdefault(tuple(keys), {})[name] = data
    return dict(sorted(found.items(), key=lambda pair: (-len(pair[0]), pair[0])))


def _tar(files: dict[str, bytes]) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(data), _SECONDS, 0o644
            tar.addfile(entry, io.BytesIO(data))
    return plain.getvalue()


if __name__ == "__main__":
    main()
