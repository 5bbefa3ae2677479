"""The action for builds beside an empty one: what a job waits for before Lineal says or does anything (the pull of
the image, the start of its container), and a build for which everything is published already."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.limits import Limit
from bench.process import Failed
from bench.pull import pulls
from tests import servers
from tests.runner.conftest import DOCKERFILE, bridge_gateway
from tests.runner.image import BUILD, Image, Unavailable, ready
from tests.runner.runner import DOCKER, Event, Runner

_FILES = ("output", "step_summary", "env", "path", "state")


def action(scratch: Path, repetitions: int) -> list[Limit]:
    """Seconds beyond those of an empty action. Nothing where the images cannot be made; that is said."""
    try:
        build, whole_image = ready(BUILD), ready()
    except Unavailable as error:
        print(f"  the action's image: {error}", flush=True)
        return []
    empty, first, whole = [], [], []
    with _job(scratch / "action", build.name) as (runner, event):
        step = runner.run(event)
        if step.code:
            raise Failed(step.log)
        for _ in range(repetitions):
            empty.append(_empty(build.name))
            one, other = _cached(runner, event)
            first.append(one)
            whole.append(other)
    start = median(empty)
    remark = f"an empty container {start:.2f} s"
    return [
        *_pulls(scratch, repetitions, build, whole_image),
        Limit("action: its first useful line, less an empty container", median(first) - start, 1.0, "s", remark),
        Limit("action: a cached build, less an empty container", median(whole) - start, 1.5, "s", remark),
    ]


def _pulls(scratch: Path, repetitions: int, build: Image, whole: Image) -> list[Limit]:
    seconds, sizes = [], []
    for number, image in enumerate((None, build, whole)):
        with pulls(scratch / f"pull-{number}", image) as pulling:
            seconds.append(median(pulling.seconds() for _ in range(repetitions)))
            sizes.append(pulling.size / 1e6)
    empty, small, large = seconds
    remark = f"that of an empty action has {sizes[0]:.1f} MB and takes {empty:.2f} s, over the slow link"
    return [
        Limit("action: its image for builds, compressed", sizes[1], 60, "MB", "without Helm"),
        Limit("action: its whole image, compressed", sizes[2], 100, "MB", "with Helm"),
        Limit("action: pull of its image for builds, less that of an empty action", small - empty, 6, "s", remark),
        Limit("action: pull of its whole image, less that of an empty action", large - empty, 9, "s", remark),
    ]


@contextmanager
def _job(scratch: Path, image: str) -> Iterator[tuple[Runner, Event]]:
    """A job of a repository with a Dockerfile, on a runner with a registry."""
    gateway = bridge_gateway()
    address = f"{gateway}:{servers.free_port(gateway)}"
    bare = servers.Repository.create(scratch / "forge", "--bare")
    repo = servers.Repository.create(scratch / "repo")
    with servers.docker_registry(scratch / "registry", address=address):
        servers.push_base_image(f"{address}/base:1", scratch / "base")
        commit = repo.write({"Dockerfile": DOCKERFILE.format(base=f"{address}/base:1"), "hello": "1\n"})
        repo.git("push", "--quiet", str(bare.path), "main")
        event = Event("push", "refs/heads/main", commit, {"repository": {"full_name": "bench/shop"}})
        runner = Runner(scratch / "runner", image, folder="build")
        runner.env = {"LINEAL_REPO": f"{address}/shop", "LINEAL_INSECURE_REGISTRY": address}
        runner.checkout(bare.path, bare.path.as_uri(), event)
        yield runner, event


def _empty(image: str) -> float:
    begin = time.perf_counter()
    subprocess.run([DOCKER, "run", "--rm", "--entrypoint", "/bin/true", image], check=True)
    return time.perf_counter() - begin


def _cached(runner: Runner, event: Event) -> tuple[float, float]:
    """From the start of the container to the first line that is no mask, and to its end."""
    command, environ = runner.command(event, {}, {name: runner.file(name) for name in _FILES})
    begin = time.perf_counter()
    first = 0.0
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as job:
        assert job.stdout is not None
        said = []
        for line in job.stdout:
            if not first and not line.startswith("::add-mask::"):
                first = time.perf_counter() - begin
            said.append(line)
    if job.returncode or "built" in "".join(said).partition("IMAGE / STAGE")[2]:
        raise Failed("the cached build in the container built something or failed:\n" + "".join(said))
    return first, time.perf_counter() - begin
