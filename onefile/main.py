"""How the one file `lineal` begins: unpacks what this Python needs, once, and runs it. `build.py` makes the file.

A compiled module cannot be loaded from an archive. They and Lineal are unpacked to a folder of the user's own whose
name says what is in it, so that files of two versions never meet."""

import importlib.machinery
import os
import stat
import sys
import tarfile
import tempfile
import zipfile

ARCHIVES = {}  # build.py: the ending of a compiled module -> names of archives in this file
CONTENT = ""  # build.py: says what all archives hold


def main():
    key = importlib.machinery.EXTENSION_SUFFIXES[0].strip(".").removesuffix(".so")
    if key not in ARCHIVES:
        _fail(
            f"This file of Lineal has nothing for {key}.",
            "It is for Linux and CPython 3.11 to 3.14: take the file that is for this processor, or another python3.",
        )
    sys.path[0] = _unpacked(key)
    from lineal.cli import main

    main()


def _unpacked(key):
    """The folder with everything for this Python. Several processes may come at once: each unpacks for itself, and
    the first folder stays."""
    problems = []
    for parent in _parents():
        folder = os.path.join(parent, f"{CONTENT}-{key}")
        try:
            _own(parent)
            if not os.path.isdir(folder):
                _unpack(ARCHIVES[key], parent, folder)
            return folder
        except OSError as error:
            problems.append(f"{parent} ({error.strerror or error})")
    what = f"Lineal cannot unpack itself to {' or '.join(problems)}."
    return _fail(what, "Let XDG_CACHE_HOME name a folder of yours.")


def _parents():
    home, cache = os.environ.get("HOME"), os.environ.get("XDG_CACHE_HOME")
    if cache := cache or (home and os.path.join(home, ".cache")):
        yield os.path.join(os.path.abspath(cache), "lineal")
    yield os.path.join(tempfile.gettempdir(), f"lineal-{os.geteuid()}")


def _own(folder):
    """Raises OSError for a folder that others may write to: they would choose what runs here."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise OSError("it is not yours alone")


def _unpack(archives, parent, folder):
    with tempfile.TemporaryDirectory(dir=parent, ignore_cleanup_errors=True) as scratch:
        with zipfile.ZipFile(sys.path[0]) as own:
            for name in archives:
                with own.open(name) as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
                    _write(tar, scratch)
        try:
            os.rename(scratch, folder)
        except OSError:
            # Another process was first.
            if not os.path.isdir(folder):
                raise


def _write(tar, folder):
    for member in tar:
        path = os.path.join(folder, member.name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(tar.extractfile(member).read())


def _fail(what, remedy):
    sys.stderr.write(f"Error: {what} {remedy}\n")
    sys.exit(3)


main()
