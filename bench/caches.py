"""Cache mounts that outlive the runner: `python -m bench caches-rust` and so on. Three projects whose dependencies
come from the package registries that this machine reaches: a Rust workspace, a Go module, Python wheels.

Each build has an engine of its own (runc), on which nothing is left, but for the builds of a runner whose disk
stays. Toolchains are this machine's, in base images. The fourth project is large, for its first build alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.debian import _call, cache, write_layout
from bench.process import environment, run
from tests.servers import Repository, docker_registry, program

_FORMAT = 2
_CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
_PACKAGES = "gcc,libc6-dev,python3,python3-pip,python3-venv,ca-certificates"

# On the disk that stays, cargo would take what it has for younger than any copied source: their times are fixed.
RUST = """\
FROM {base}
ENV CARGO_HOME=/cargo PATH=/rust/bin:/usr/bin:/bin CARGO_INCREMENTAL=0
WORKDIR /src
COPY . .
RUN --mount=type=cache,id=cargo,target=/cargo --mount=type=cache,id=target,target=/src/target \\
    find . -path ./target -prune -o -name '*.rs' -exec touch {{}} + && cargo build && cp target/debug/app /app
"""
GO = """\
FROM {base}
ENV PATH=/usr/local/go/bin:/usr/bin:/bin CGO_ENABLED=0 GOFLAGS=-mod=mod GOTOOLCHAIN=local GOSUMDB=off
WORKDIR /src
COPY . .
RUN --mount=type=cache,id=modules,target=/root/go/pkg/mod --mount=type=cache,id=build,target=/root/.cache/go-build \\
    go build -o /app .
"""
# With uv, as pip keeps nothing that an index says nothing about, as this machine's does.
PYTHON = """\
FROM {base}
RUN pip install uv==0.13.9
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt UV_LINK_MODE=copy
COPY . /src
RUN --mount=type=cache,id=uv,target=/root/.cache/uv uv pip install --target /app -r /src/requirements.txt
"""

_CARGO = """\
[package]
name = "app"
version = "0.1.0"
edition = "2021"
[workspace]
members = ["core"]
[dependencies]
core = {{ path = "core" }}
serde = {{ version = "=1.0.210", features = ["derive"] }}
serde_json = "=1.0.128"
regex = "={regex}"
clap = {{ version = "=4.5.20", features = ["derive"] }}
"""
_CORE = '[package]\nname = "core"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\nregex = "={regex}"\n'
_MAIN = """\
use clap::Parser;
#[derive(Parser, serde::Serialize)]
struct Arguments {{ #[arg(long, default_value = "{text}")] text: String }}
fn main() {{
    let arguments = Arguments::parse();
    println!("{{}} {{}}", serde_json::to_string(&arguments).unwrap(), core::matches(&arguments.text));
}}
"""
_GO_MAIN = """\
package main
import (
    "fmt"
    "github.com/gin-gonic/gin"
    "github.com/prometheus/client_golang/prometheus"
    "github.com/spf13/cobra"
    "google.golang.org/grpc"
)
func main() {{
    _ = gin.New(); _ = prometheus.NewRegistry(); _ = grpc.NewServer()
    fmt.Println("{text}", cobra.Command{{}}.Use)
}}
"""
_LARGE_MAIN = """\
package main
import (
    "fmt"
    "helm.sh/helm/v3/pkg/action"
    "k8s.io/client-go/kubernetes"
)
func main() {{
    _ = action.Configuration{{}}; _ = kubernetes.Clientset{{}}
    fmt.Println("{text}")
}}
"""
Files = dict[str, str]


@dataclass(frozen=True)
class Workload:
    name: str
    dockerfile: str
    files: Callable[[str, str], Files]
    """By the version of one dependency and a text of the source."""
    versions: tuple[str, str]
    locked: Callable[[Path], None] = lambda _: None
    """Write the lock file."""
    language: str = ""
    """What is in its base image."""
    only_first: bool = False


def _rust(version: str, text: str) -> Files:
    return {
        "Cargo.toml": _CARGO.format(regex=version),
        "src/main.rs": _MAIN.format(text=text),
        "core/Cargo.toml": _CORE.format(regex=version),
        "core/src/lib.rs": 'pub fn matches(text: &str) -> bool { regex::Regex::new("^a").unwrap().is_match(text) }\n',
    }


def _go(version: str, text: str) -> Files:
    required = {
        "github.com/gin-gonic/gin": "v1.10.0", "github.com/prometheus/client_golang": "v1.20.4",
        "github.com/spf13/cobra": version, "google.golang.org/grpc": "v1.67.1",
    }  # fmt: skip
    lines = "".join(f"\t{name} {one}\n" for name, one in required.items())
    return {"go.mod": f"module app\n\ngo 1.23\n\nrequire (\n{lines})\n", "main.go": _GO_MAIN.format(text=text)}


def _python(version: str, text: str) -> Files:
    wheels = f"numpy==2.1.2\nscipy==1.14.1\nflask==3.0.3\nrequests=={version}\nlxml==5.3.0\n"
    return {"requirements.txt": wheels, "app.py": f"print({text!r})\n"}


def _large(version: str, text: str) -> Files:
    required = f"module app\n\ngo 1.23\n\nrequire helm.sh/helm/v3 {version}\n"
    return {"go.mod": required, "main.go": _LARGE_MAIN.format(text=text)}


def _tidied(at: Path) -> None:
    _tool(["go", "mod", "tidy"], at)


WORKLOADS = (
    Workload("Rust", RUST, _rust, ("1.10.6", "1.11.0"), lambda at: _tool(["cargo", "generate-lockfile"], at), "rust"),
    Workload("Go", GO, _go, ("v1.8.0", "v1.8.1"), _tidied, "go"),
    Workload("Python", PYTHON, _python, ("2.32.2", "2.32.3"), language="python"),
    Workload("Large", GO, _large, ("v3.16.4", ""), _tidied, "go", only_first=True),
)


@dataclass
class Series:
    """Builds of one project in a store of its own, one after the other."""

    workload: Workload
    repository: Repository
    store: str
    scratch: Path
    count: int = 0

    def build(self, version: str, text: str, disk: Path | None = None) -> Built:
        """On an engine that has nothing and goes, or one with a disk that stays."""
        self.count += 1
        self.repository.put(dict(self.workload.files(version, text)))
        self.workload.locked(self.repository.path)
        self.repository.git("add", "--all")
        self.repository.commit(f"{version} {text}")
        root = disk or self.scratch / f"engine-{self.count}"
        home, report = self.scratch / "home", self.scratch / "report.json"
        home.mkdir(exist_ok=True)
        env = environment(home) | {"LINEAL_ENGINE": "runc", "LINEAL_RUNC_ROOT": str(root)}
        lineal = str(Path(__file__).resolve().parents[1] / ".venv/bin/lineal")
        done = run([lineal, "build", "--repo", self.store, "--report", str(report)], self.repository.path, env)
        if disk is None:
            shutil.rmtree(root, ignore_errors=True)
        return Built(done.seconds, json.loads(report.read_text()))


@dataclass(frozen=True)
class Built:
    seconds: float
    report: dict[str, Any]

    def row(self, what: str) -> str:
        runs = [stage for stage in self.report["stages"] if stage["instruction"].startswith("RUN")]
        kept = [one for stage in runs for one in stage["caches"]]
        size, pulled, pushed = (
            sum(one[key] for one in kept) / 1e6 for key in ("size", "bytes_pulled", "bytes_pushed")
        )
        within, cost = sum(stage["duration"] for stage in runs), sum(one["seconds"] for one in kept)
        return (
            f"| {what} | {self.seconds:.1f} s | {within:.1f} s | {size:.0f} MB | {pulled:.1f} MB | {pushed:.1f} MB | "
            f"{cost:.1f} s |"
        )


_HEAD = ("| build | all | its RUN | caches | pulled | pushed | for caches |", "|---|---|---|---|---|---|---|")


def caches(scratch: Path, workload: Workload) -> Iterator[str]:
    """The lines of a table, as they are measured: the builds that are compared are beside each other."""
    os.environ.update(
        {"CARGO_HOME": str(scratch / "cargo"), "GOMODCACHE": str(scratch / "go"), "GOFLAGS": "-modcacherw"}
    )
    yield from _HEAD
    with docker_registry(scratch / "registry") as registry:
        base = f"{registry}/{workload.language}:1"
        _push(workload.language, base)
        without, kept = (_series(scratch, registry, base, workload, name) for name in ("without", "kept"))
        old, new = workload.versions
        disk = scratch / "disk"
        cold = without.build(old, "first", disk)
        yield cold.row("first, without")
        published = kept.build(old, "first")
        yield published.row("first, kept")
        yield f"first: kept / without {published.seconds / cold.seconds:.2f}"
        # The text differs, or the store had the stage.
        for what in ("dependency", "source") if not workload.only_first else ():
            plain = without.build(new, f"{what}, without")
            yield plain.row(f"{what}, without")
            stays = without.build(new, f"{what}, with a disk", disk)
            yield stays.row(f"{what}, with a disk that stays")
            own = kept.build(new, f"{what}, kept")
            yield own.row(f"{what}, kept")
            yield (
                f"{what}: without / kept {plain.seconds / own.seconds:.2f}, "
                f"kept / disk that stays {own.seconds / stays.seconds:.2f}"
            )


def _series(scratch: Path, registry: str, base: str, workload: Workload, name: str) -> Series:
    place = scratch / name
    place.mkdir()
    repository = Repository.create(place / "repository")
    lines = "project: bench\nimages: {app: {}}\n" + ("caches: {persist: true}\n" if name == "kept" else "")
    repository.put({"lineal.yaml": lines, "Dockerfile": workload.dockerfile.format(base=base)})
    repository.put({".dockerignore": ".git\ntarget\n", ".gitignore": "target\n"})
    return Series(workload, repository, f"{registry}/{workload.name.lower()}-{name}", place)


# --- base images ----------------------------------------------------------------------------------------------------


def _push(language: str, reference: str) -> None:
    layout = cache() / f"bench-caches-{language}-{_FORMAT}"
    if not (layout / "index.json").exists():
        with _tree() as tree:
            _toolchain(language, tree)
            shutil.rmtree(layout, ignore_errors=True)
            write_layout(tree, layout)
    copy = [program("skopeo"), "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]
    subprocess.run([*copy, f"oci:{layout}:base", f"docker://{reference}"], check=True)


@contextmanager
def _tree() -> Iterator[Path]:
    tree = cache() / "bench-caches.tree"
    shutil.rmtree(tree, ignore_errors=True)
    _call([program("debootstrap"), "--variant=minbase", f"--include={_PACKAGES}", "trixie", str(tree)])
    shutil.copyfile(f"/{_CERTIFICATES}", tree / _CERTIFICATES)
    # Where Debian keeps pip from writing outside of its own packages.
    for marker in tree.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    (tree / "etc/pip.conf").write_text(f"[global]\ncert=/{_CERTIFICATES}\n")
    shutil.rmtree(tree / "var/cache/apt/archives", ignore_errors=True)
    try:
        yield tree
    finally:
        shutil.rmtree(tree)


def _toolchain(language: str, tree: Path) -> None:
    if language == "go":
        root = Path(_call(["go", "env", "GOROOT"]).strip())
        shutil.copytree(root, tree / "usr/local/go", symlinks=True)
        for name in ("test", "doc", "api"):
            shutil.rmtree(tree / "usr/local/go" / name, ignore_errors=True)
    elif language == "rust":
        root = Path(_call(["rustc", "--print", "sysroot"]).strip())
        left = shutil.ignore_patterns("doc", "src", "*rust-analyzer*", "clippy*", "cargo-clippy*", "*miri*", "man")
        shutil.copytree(root, tree / "rust", symlinks=True, ignore=left)


def _tool(command: list[str], at: Path) -> None:
    subprocess.run(command, cwd=at, check=True, capture_output=True)
