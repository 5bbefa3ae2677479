"""What all cases of a test process share: BuildKit, base images, a web server, a layout store, a commit per group."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import subprocess
import tarfile
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests import servers
from tests.conftest import Lineal
from tests.differential import bases, buildkit
from tests.differential.cases import Case, Group
from tests.differential.image import Image, read
from tests.forks import Result


@dataclass
class Workshop:
    oracle: buildkit.Buildkit
    arguments: dict[str, str]
    scratch: Path
    web: str
    commits: dict[str, servers.Repository] = field(default_factory=dict)
    built: dict[str, Image] = field(default_factory=dict)
    """What Lineal built, by the case's id."""

    def build(self, case: Case) -> tuple[Result, Image | None, Image | str]:
        """What `lineal build` said, and its image if there is one; BuildKit's image, or why there is none."""
        # Once, before two threads want it.
        self._commit(case.group)
        with ThreadPoolExecutor() as pool:
            theirs = pool.submit(self._theirs, case)
            result, ours = self._ours(case)
            if ours:
                self.built[case.id] = ours
            return result, ours, theirs.result()

    def _theirs(self, case: Case) -> Image | str:
        checkout = self.scratch / "checkouts" / case.id
        (checkout / case.context).mkdir(parents=True)
        self._commit(case.group).git("checkout-index", "--all", f"--prefix={checkout}/")
        try:
            return self.oracle.build(case, checkout, self._of(case.group))
        except buildkit.Refused as refused:
            return str(refused)

    def _ours(self, case: Case) -> tuple[Result, Image | None]:
        repo = self._commit(case.group)
        report, store = self.scratch / f"{case.id.replace('/', '-')}.json", self.scratch / "store"
        lineal = Lineal(repo.path, self.scratch, case.expected.env)
        command = ["build", case.name, "--repo", f"layout:{store}", "--report", str(report)]
        result = lineal(*command)
        if result.code:
            return result, None
        return result, read(store, json.loads(report.read_text())["images"][-1]["digest"])

    def _commit(self, group: Group) -> servers.Repository:
        if group.name not in self.commits:
            repo = servers.Repository.create(self.scratch / "commits" / group.name)
            group.write(repo, self._of(group))
            self.commits[group.name] = repo
        return self.commits[group.name]

    def _of(self, group: Group) -> dict[str, str]:
        return {**self.arguments, "HTTP": f"{self.web}/{group.name}/served"}


@contextmanager
def workshop(registry: str, scratch: Path) -> Iterator[Workshop]:
    arguments = bases.push(registry, scratch / "bases")
    # The path of a socket may have 107 characters only: pytest's directories are too deep.
    with (
        tempfile.TemporaryDirectory(prefix="buildkit-", dir=buildkit.fast(), ignore_cleanup_errors=True) as short,
        buildkit.buildkitd(Path(short), registry) as oracle,
        _web(scratch / "commits") as web,
    ):
        yield Workshop(oracle, arguments, scratch, web)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _web(directory: Path) -> Iterator[str]:
    """The groups' served files, at `http://127.0.0.1:PORT/<group>/served`."""
    handler = functools.partial(_Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def refused_by_the_engine(images: Mapping[str, Image]) -> dict[str, str]:
    """Name -> what the Docker Engine says, of images that it does not load. One load for all: layers are shared."""
    if not _load(images):
        return {}
    said = {name: _load({name: image}) for name, image in images.items()}
    return {name: text for name, text in said.items() if text}


def _load(images: Mapping[str, Image]) -> str:
    tag = uuid.uuid4().hex
    files: dict[str, bytes] = {}
    manifest, tags = [], []
    for number, image in enumerate(images.values()):
        names = [f"{hashlib.sha256(layer).hexdigest()}.tar" for layer in image.layers]
        files |= dict(zip(names, image.layers, strict=True))
        files[f"{number}.json"] = json.dumps(image.config).encode()
        tags.append(f"lineal-differential-{tag}:{number}")
        manifest.append({"Config": f"{number}.json", "RepoTags": [tags[-1]], "Layers": names})
    saved = _archive({**files, "manifest.json": json.dumps(manifest).encode()})
    docker = servers.program("docker")
    done = subprocess.run([docker, "load", "--quiet"], input=saved, capture_output=True, timeout=300)
    subprocess.run([docker, "rmi", "--force", *tags], capture_output=True, timeout=300)
    return done.stderr.decode(errors="replace") if done.returncode else ""


def _archive(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
