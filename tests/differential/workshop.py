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
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests import servers
from tests.conftest import Lineal
from tests.differential import bases, buildkit, engines
from tests.differential.cases import Case, Group
from tests.differential.image import Image, read
from tests.forks import Result

Outcome = tuple[Result, Image | None]
"""What `lineal build` said, and its image if there is one."""


@dataclass
class Workshop:
    oracle: buildkit.Buildkit
    arguments: dict[str, str]
    scratch: Path
    web: str
    pool: ThreadPoolExecutor
    """BuildKit's side, which goes ahead of the tests: one build at a time, as some use the same cache."""
    registry: str
    wanted: Sequence[Case]
    """All cases that this process may be asked for: a group is built at once."""
    commits: dict[str, servers.Repository] = field(default_factory=dict)
    ours: dict[str, Outcome] = field(default_factory=dict)
    theirs: dict[str, Future[Image | str]] = field(default_factory=dict)

    @property
    def built(self) -> dict[str, Image]:
        """What Lineal built, by the case's id."""
        return {case: image for case, (_, image) in self.ours.items() if image}

    def build(self, case: Case) -> tuple[Result, Image | None, Image | str]:
        """Lineal's outcome; BuildKit's image, or why there is none."""
        if case.id not in self.theirs:
            self._begin([one for one in self.wanted if one.group == case.group])
        if case.id not in self.ours:
            self.ours[case.id] = self._ours([case])[case.name]
        return *self.ours[case.id], self.theirs[case.id].result()

    def _begin(self, cases: Sequence[Case]) -> None:
        """Builds a group: with Lineal in one run what is to be built, and the rest when its turn comes."""
        self._commit(cases[0].group)
        self.theirs |= {case.id: self.pool.submit(self._theirs, case) for case in cases}
        together = [case for case in cases if case.expected.is_plain]
        outcomes = self._ours(together) if len(together) > 1 else {}
        # Where one is refused all the same, each is asked for by itself.
        self.ours |= {case.id: outcomes[case.name] for case in together if outcomes and outcomes[case.name][1]}

    def _theirs(self, case: Case) -> Image | str:
        checkout = self.scratch / "checkouts" / case.id
        (checkout / case.context).mkdir(parents=True)
        self._commit(case.group).git("checkout-index", "--all", f"--prefix={checkout}/")
        try:
            return self.oracle.build(case, checkout, self._of(case.group))
        except buildkit.Refused as refused:
            return str(refused)

    def _ours(self, cases: Sequence[Case]) -> dict[str, Outcome]:
        """By the case's name; no case has an image when one of them is refused."""
        repo = self._commit(cases[0].group)
        report, store = self.scratch / "report.json", self.scratch / "store"
        engine = engines.under_test(self.oracle.address)
        repository = f"{self.registry}/differential-{self.scratch.name}" if engine.pushes else f"layout:{store}"
        # As a job: on a machine of somebody's own, a secret that lineal.yaml names would be asked for.
        environment = {**cases[0].expected.env, **engine.environment, "CI": "true"}
        lineal = Lineal(repo.path, self.scratch, environment)
        names = [case.name for case in cases]
        result = lineal("build", *names, "--repo", repository, "--report", str(report))
        if result.code:
            return dict.fromkeys(names, (result, None))
        digests = {image["name"]: image["digest"] for image in json.loads(report.read_text())["images"]}
        if engine.pushes:
            engines.fetch(repository, [digest for name, digest in digests.items() if name in names], store)
        return {name: (result, read(store, digests[name])) for name in names}

    def _commit(self, group: Group) -> servers.Repository:
        if group.name not in self.commits:
            repo = servers.Repository.create(self.scratch / "commits" / group.name)
            group.write(repo, self._of(group))
            self.commits[group.name] = repo
        return self.commits[group.name]

    def _of(self, group: Group) -> dict[str, str]:
        return {**self.arguments, "HTTP": f"{self.web}/{group.name}/served"}


@contextmanager
def workshop(registry: str, scratch: Path, wanted: Sequence[Case]) -> Iterator[Workshop]:
    arguments = bases.push(registry, scratch / "bases")
    # The path of a socket may have 107 characters only: pytest's directories are too deep.
    with (
        tempfile.TemporaryDirectory(prefix="buildkit-", dir=buildkit.fast(), ignore_cleanup_errors=True) as short,
        buildkit.buildkitd(Path(short), registry) as oracle,
        _web(scratch / "commits") as web,
        ThreadPoolExecutor(1) as pool,
    ):
        yield Workshop(oracle, arguments, scratch, web, pool, registry, wanted)
        pool.shutdown(cancel_futures=True)


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
