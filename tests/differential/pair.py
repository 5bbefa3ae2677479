"""Both builders for generated Dockerfiles, and what comes of comparing them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests import forks, servers
from tests.differential import bases, buildkit, compare
from tests.differential.generated import Example, File, Files, Program
from tests.differential.image import Image, read
from tests.forks import Result

_TRIES = 150
Outcome = tuple[Result, Image | None]
_BANG = re.compile(r'^(COPY|ADD)\b.*[ "]!', re.MULTILINE)
"""BuildKit takes such a source for an exception to what it sends: see docs/dockerfile.md."""
# BuildKit's reason, and where docs/dockerfile.md says that Lineal builds it all the same.
LENIENT = {
    r"mkdir .*: not a directory|cannot copy to non-directory": "A directory over a file",
    # Of a folder that is there, BuildKit has only what some instruction copies.
    r'"/(?P<there>[^"\n]*)": not found\n(.*\n)*COPY .*--parents.*/\./': "A link before `/./`",
    r"lstat /(?P<there>[^\n]*): no such file or directory": "A wildcard without a match",
    r'"/[^"\n]*\\\\[^"\n]*": not found': "A backslash in a name",
}
# Lineal's reason, and where docs/dockerfile.md says that only BuildKit builds it.
UNSUPPORTED = {
    "[Ww]hat only the base image defines is not known when checksums are made": "Refused: variables of the base",
    "has a pattern that Lineal does not read as BuildKit does": "Refused: patterns",
    # Of a .dockerignore, BuildKit compiles no more than it has to.
    "Invalid ignore pattern": "Refused: patterns",
    "which only the base image defines, is needed": "Refused: variables of the base",
}


@dataclass
class Pair:
    oracle: buildkit.Buildkit
    base: str
    repo: servers.Repository
    scratch: Path
    root: str
    altered: tuple[str, str] | None = None
    """What Lineal gets to read instead: for the test of this harness."""
    outcomes: dict[str, int] = field(default_factory=dict)
    refusals: list[tuple[str, str]] = field(default_factory=list)
    """Both builders' reasons."""

    @property
    def asked(self) -> Path:
        """The Dockerfiles as BuildKit gets them."""
        return self.scratch / "asked"

    def check(self, example: Example) -> list[str]:
        """What differs, for each program; nothing where images or refusals are the same."""
        self._commit(example)
        with ThreadPoolExecutor(2) as pool:
            theirs = [pool.submit(self._theirs, number) for number in range(len(example.programs))]
            ours = self._ours(len(example.programs))
            done = zip(example.programs, theirs, strict=True)
            return [self._verdict(one, *ours[number], other.result()) for number, (one, other) in enumerate(done)]

    def reduced(self, example: Example, verdict: str) -> tuple[Example, str]:
        """A smaller example of one program that fails in the same way."""
        tries = 0
        left = example.smaller()
        while (smaller := next(left, None)) is not None and tries < _TRIES:
            tries += 1
            found = self.check(smaller)[0]
            if found and _kind(found) == _kind(verdict):
                example, verdict, left = smaller, found, smaller.smaller()
        return example, verdict

    def _verdict(self, program: Program, result: Result, ours: Image | None, theirs: Image | str) -> str:
        """What is wrong, or nothing."""
        if "Traceback" in result.stderr or "Something unexpected" in result.stderr or result.code not in (0, 1, 3):
            return f"Lineal broke: {result.stderr}"
        if ours is None:
            if isinstance(theirs, str):
                self._count("both refuse")
                self.refusals.append((_last(result.stderr), _last(theirs)))
                return ""
            known = self._known(UNSUPPORTED, _last(result.stderr))
            return "" if known else f"Only BuildKit builds it. Lineal: {_last(result.stderr)}"
        if isinstance(theirs, str):
            known = self._known(LENIENT, f"{_last(theirs)}\n{program.text}")
            return "" if known else f"Only Lineal builds it. BuildKit: {_last(theirs)}"
        found = [f"{where}: {what}" for where, what in compare.differences(ours, theirs)]
        # Nothing else may differ there than what BuildKit leaves out.
        if found and _BANG.search(program.text) and all(one.endswith("BuildKit has none") for one in found):
            self._count("A source that begins with an exclamation mark")
            return ""
        self._count("both build")
        return "\n".join([*found, *compare.faults(ours)])

    def _known(self, listed: dict[str, str], text: str) -> bool:
        """Whether this is a listed difference."""
        for pattern, why in listed.items():
            found = re.search(pattern, text)
            there = found and found.groupdict().get("there")
            if found and (there is None or os.path.lexists(self.repo.path / "context" / there)):
                self._count(why)
                return True
        return False

    def _count(self, what: str) -> None:
        self.outcomes[what] = self.outcomes.get(what, 0) + 1

    def _commit(self, example: Example) -> None:
        """A commit beside all others: nothing that was built for them is visible, only the base is."""
        self.repo.git("reset", "--soft", self.root)
        shutil.rmtree(self.repo.path / "context", ignore_errors=True)
        for old in self.repo.path.glob("*.Dockerfile*"):
            old.unlink()
        self.asked.mkdir(exist_ok=True)
        _write(self.repo.path / "context", example.files)
        images = {}
        for number, program in enumerate(example.programs):
            name = f"p{number}.Dockerfile"
            text = program.text.replace(*self.altered) if self.altered else program.text
            for place, written in ((self.repo.path, text), (self.asked, program.text)):
                (place / name).write_bytes(written.encode())
                (place / f"{name}.dockerignore").write_bytes(program.ignore_text.encode())
            args = {"BASE": self.base} if "$BASE" in program.text else {}
            images[f"p{number}"] = {"context": "context", "dockerfile": name, "args": args}
        (self.repo.path / "lineal.yaml").write_text(json.dumps({"project": "generated", "images": images}))
        self.repo.git("add", "--all", "--force")
        self.repo.commit()

    def _ours(self, count: int) -> dict[int, Outcome]:
        """All programs in one run; one that is refused is left out of the next."""
        left = list(range(count))
        found: dict[int, Outcome] = {}
        while left:
            result, images = self._run(left)
            if result.code == 0:
                return found | {number: (result, images[f"p{number}"]) for number in left}
            lines = result.stderr.splitlines(keepends=True)
            named = {number: [one for one in lines if f"Error: p{number}.Dockerfile" in one] for number in left}
            refused = {number: "".join(said) for number, said in named.items() if said}
            found |= {number: (replace(result, stderr=said), None) for number, said in refused.items()}
            if not refused:
                # Any of them may be meant: the first one shows by itself whether it is.
                result, images = self._run(left[:1])
                refused[left[0]] = ""
                found[left[0]] = (result, images.get(f"p{left[0]}"))
            left = [number for number in left if number not in refused]
        return found

    def _run(self, numbers: list[int]) -> tuple[Result, dict[str, Image]]:
        report, store = self.scratch / "report.json", self.scratch / "store"
        # As a job: on a machine of somebody's own, a secret that lineal.yaml names would be asked for.
        env = {"PATH": os.environ["PATH"], **servers.GIT_ISOLATION, "HOME": str(self.scratch), "COLUMNS": "160"}
        env["CI"] = "true"
        names = [f"p{number}" for number in numbers]
        command = ["build", *names, "--repo", f"layout:{store}", "--report", str(report)]
        result = forks.run(*command, cwd=self.repo.path, env=env)
        if result.code:
            return result, {}
        images = json.loads(report.read_text())["images"]
        return result, {image["name"]: read(store, image["digest"]) for image in images}

    def _theirs(self, number: int) -> Image | str:
        out = self.scratch / f"p{number}"
        command = [buildkit._BUILDCTL, "--addr", self.oracle.address, "build", "--progress=plain", "--no-cache"]
        command += ["--frontend=dockerfile.v0", f"--local=context={self.repo.path / 'context'}"]
        command += [f"--local=dockerfile={self.asked}", f"--opt=filename=p{number}.Dockerfile"]
        command += [f"--opt=build-arg:BASE={self.base}"]
        command += [f"--output=type=oci,dest={out},tar=false,compression=uncompressed"]
        done = subprocess.run(command, capture_output=True, timeout=300)
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
        tempfile.TemporaryDirectory(
            prefix="generated-", dir=buildkit.fast(), ignore_cleanup_errors=True
        ) as directory,
        buildkit.buildkitd(Path(directory), registry) as oracle,
    ):
        scratch = Path(directory)
        base = bases.push(registry, scratch / "bases")["BASE"]
        repo = servers.Repository.create(scratch / "repo")
        made = Pair(oracle, base, repo, scratch, repo.commit())
        first = Example({"a": File()}, (Program((), ("ARG BASE", "FROM $BASE", "COPY a /")),))
        made.check(first)
        # From now on every commit comes after one that has the base in the store.
        made.root = repo.head()
        yield made


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
