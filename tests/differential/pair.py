"""Both builders for generated Dockerfiles, and what comes of comparing them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests import servers
from tests.conftest import Result
from tests.differential import bases, buildkit, compare
from tests.differential.forked import Forked, forked
from tests.differential.generated import Example, File, Files, Program
from tests.differential.image import Image, read

# BuildKit's reason, and where docs/dockerfile.md says that Lineal builds it all the same.
LENIENT: dict[str, str] = {}
# Lineal's reason, and where docs/dockerfile.md says that only BuildKit builds it.
UNSUPPORTED: dict[str, str] = {}


@dataclass
class Pair:
    oracle: buildkit.Buildkit
    forked: Forked
    base: str
    repo: servers.Repository
    scratch: Path
    root: str
    number: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)

    def check(self, example: Example) -> list[str]:
        """What differs, for each program; nothing where images or refusals are the same."""
        self._commit(example)
        with ThreadPoolExecutor(2) as pool:
            theirs = [pool.submit(self._theirs, number) for number in range(len(example.programs))]
            ours = [self._ours(number) for number in range(len(example.programs))]
            return [self._verdict(*mine, other.result()) for mine, other in zip(ours, theirs, strict=True)]

    def reduced(self, example: Example, verdict: str) -> tuple[Example, str]:
        """A smaller example of one program that fails in the same way."""
        again = True
        while again:
            again = False
            for smaller in example.smaller():
                found = self.check(smaller)[0]
                if found and _kind(found) == _kind(verdict):
                    example, verdict, again = smaller, found, True
                    break
        return example, verdict

    def _verdict(self, result: Result, ours: Image | None, theirs: Image | str) -> str:
        """What is wrong, or nothing."""
        if "Traceback" in result.stderr or "unexpected" in _last(result.stderr).lower().split(":")[1:2] or result.code not in (0, 1, 3):
            return f"Lineal broke: {result.stderr}"
        if ours is None:
            if isinstance(theirs, str):
                self._count("both refuse")
                return ""
            return self._known(UNSUPPORTED, _last(result.stderr)) and f"Only BuildKit builds it. Lineal: {result.stderr}"
        if isinstance(theirs, str):
            return self._known(LENIENT, theirs) and f"Only Lineal builds it. BuildKit: {_last(theirs)}"
        self._count("both build")
        found = [f"{where}: {what}" for where, what in compare.differences(ours, theirs)]
        return "\n".join([*found, *compare.faults(ours)])

    def _known(self, listed: dict[str, str], text: str) -> bool:
        """Whether this is no listed difference."""
        for pattern, why in listed.items():
            if re.search(pattern, text):
                self._count(why)
                return False
        return True

    def _count(self, what: str) -> None:
        self.outcomes[what] = self.outcomes.get(what, 0) + 1

    def _commit(self, example: Example) -> None:
        """A commit beside all others: nothing that was built for them is visible, only the base is."""
        self.repo.git("reset", "--soft", self.root)
        shutil.rmtree(self.repo.path / "context", ignore_errors=True)
        for old in self.repo.path.glob("*.Dockerfile*"):
            old.unlink()
        _write(self.repo.path / "context", example.files)
        images = {}
        for number, program in enumerate(example.programs):
            name = f"p{number}.Dockerfile"
            (self.repo.path / name).write_bytes(program.text.encode())
            if program.ignore:
                (self.repo.path / f"{name}.dockerignore").write_bytes(program.ignore_text.encode())
            args = {"BASE": self.base} if "$BASE" in program.text else {}
            images[f"p{number}"] = {"context": "context", "dockerfile": name, "args": args}
        (self.repo.path / "lineal.yaml").write_text(json.dumps({"project": "generated", "images": images}))
        self.repo.git("add", "--all", "--force")
        self.repo.commit()

    def _ours(self, number: int) -> tuple[Result, Image | None]:
        report, store = self.scratch / "report.json", self.scratch / "store"
        env = {"PATH": os.environ["PATH"], **servers.GIT_ISOLATION, "HOME": str(self.scratch), "COLUMNS": "160"}
        command = ["build", f"p{number}", "--repo", f"layout:{store}", "--report", str(report)]
        result = self.forked(*command, cwd=self.repo.path, env=env, scratch=self.scratch)
        if result.code:
            return result, None
        return result, read(store, json.loads(report.read_text())["images"][-1]["digest"])

    def _theirs(self, number: int) -> Image | str:
        out = self.scratch / f"p{number}"
        command = [buildkit._BUILDCTL, "--addr", self.oracle.address, "build", "--progress=plain"]
        command += ["--frontend=dockerfile.v0", f"--local=context={self.repo.path / 'context'}"]
        command += [f"--local=dockerfile={self.repo.path}", f"--opt=filename=p{number}.Dockerfile"]
        command += [f"--opt=build-arg:BASE={self.base}"]
        command += [f"--output=type=oci,dest={out},tar=false,compression=uncompressed"]
        done = subprocess.run(command, capture_output=True, timeout=120)
        if done.returncode:
            text = done.stderr.decode(errors="replace")
            assert "buildkitd" not in text.lower(), text
            return text
        try:
            return read(out)
        finally:
            shutil.rmtree(out)


@contextmanager
def pair(registry: str) -> Iterator[Pair]:
    with (
        tempfile.TemporaryDirectory(prefix="generated-", dir=_fast(), ignore_cleanup_errors=True) as directory,
        buildkit.buildkitd(Path(directory), registry) as oracle,
        forked() as fork,
    ):
        scratch = Path(directory)
        base = bases.push(registry, scratch / "bases")["BASE"]
        repo = servers.Repository.create(scratch / "repo")
        made = Pair(oracle, fork, base, repo, scratch, repo.commit())
        first = Example({"a": File()}, (Program((), ("ARG BASE", "FROM $BASE", "COPY a /")),))
        made.check(first)
        # From now on every commit comes after one that has the base in the store.
        made.root = repo.head()
        yield made


def _fast() -> str | None:
    """Memory where there is enough: with every small build BuildKit waits for the disk several times."""
    shared = "/dev/shm"
    try:
        return shared if shutil.disk_usage(shared).free > 2 << 30 else None
    except OSError:
        return None


def _write(context: Path, files: Files) -> None:
    context.mkdir(exist_ok=True)
    for path, file in files.items():
        place = context / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.link:
            place.symlink_to(file.link)
        else:
            place.write_text(f"{path}\n")
            place.chmod(0o755 if file.executable else 0o644)


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""


def _kind(verdict: str) -> str:
    return re.sub(r"[^ a-zA-Z].*", "", verdict)
