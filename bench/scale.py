"""`python -m bench.scale`: builds into a repository that holds ever more stages of other work.

The registry is docker-registry, which lists all tags in one answer whatever it is asked. The other stages are tags on
its disk only; Lineal never reads more than their names."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench import results
from bench.machine import load
from bench.process import Failed, environment, run
from bench.sides import NOWHERE, lineal
from bench.traffic import AccessLog, Traffic
from lineal.store.tags import stage_tag
from tests.servers import Repository, docker_registry

SIZES = (10, 1_000, 10_000, 100_000)
_REPOSITORY = "bench/scale"
_FILES = {
    "Dockerfile": "FROM scratch\nCOPY src /src\n",
    "lineal.yaml": "project: bench\nimages:\n  app: {}\n",
}


@dataclass
class Case:
    """One kind of build at one size: what each of its repetitions took."""

    name: str
    made: int
    """How many stages it has to make: a case that does other work is no measurement."""
    seconds: list[float] = field(default_factory=list)
    traffic: list[Traffic] = field(default_factory=list)

    def row(self, size: int) -> tuple[str, ...]:
        most = max(self.traffic, key=lambda traffic: traffic.requests)
        return (f"{size:,}", self.name, f"{median(self.seconds):.2f} s", f"{most.requests}", f"{most.bytes_read:,}")


@dataclass
class Scale:
    registry: str
    log: AccessLog
    checkout: Repository
    round: int = 0

    def measure(self, repetitions: int) -> list[Case]:
        cases = [
            Case("everything cached", 0),
            Case("one miss, no anchor", 1),
            Case("one miss, hidden anchor", 1),
            Case("cached behind a hidden anchor", 0),
        ]
        for _ in range(repetitions):
            self._round(*cases)
        return cases

    def _round(self, cached: Case, missing: Case, hidden: Case, behind: Case) -> None:
        """All cases once, on two branches with the same content that know nothing of each other."""
        self.round += 1
        content = {"src/file": f"content {self.round}\n"}
        self._branch("one", content)
        self._build(missing)
        self._build(cached)
        self._branch("two", {**content, "README": "of branch two\n"})
        self._build(hidden)
        self._build(behind)

    def _branch(self, name: str, files: Mapping[str, str]) -> None:
        self.checkout.branch(f"{name}-{self.round}", "main")
        self.checkout.write(dict(files))

    def _build(self, case: Case) -> None:
        self.log.skip()
        with tempfile.TemporaryDirectory(prefix="lineal-bench-") as home:
            env = {**environment(Path(home)), "DOCKER_HOST": NOWHERE}
            report = Path(home, "report.json")
            argv = [lineal(), "build", "--repo", f"{self.registry}/{_REPOSITORY}", "--report", str(report)]
            done = run(argv, self.checkout.path, env)
            stages = json.loads(report.read_text())["stages"]
        case.seconds.append(done.seconds)
        case.traffic.append(self.log.take())
        made = sum(stage["outcome"] == "assembled" for stage in stages)
        if made != case.made:
            raise Failed(f"{case.name}: Lineal made {made} stages instead of {case.made}.")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument(
        "--most",
        type=int,
        default=SIZES[-2],
        metavar="N",
        help=f"the largest repository to make: {', '.join(map(str, SIZES))} (default {SIZES[-2]}; the last one takes "
        "a minute and 3 GB of disk)",
    )
    parser.add_argument("--repetitions", type=int, default=3, metavar="N", help="of each case (default 3)")
    given = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="lineal-bench-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    before = load()
    try:
        rows = _measure(scratch, [size for size in SIZES if size <= given.most], given.repetitions)
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print("\n".join(results.table(("stage tags", "build", "time", "requests", "bytes read"), rows)))
    print(f"\nTimes are medians of {given.repetitions}; load average {before:.1f} before and {load():.1f} after.")
    return 0


def _measure(scratch: Path, sizes: Sequence[int], repetitions: int) -> list[tuple[str, ...]]:
    checkout = Repository.create(scratch / "checkout")
    checkout.write(_FILES)
    rows = []
    with docker_registry(scratch / "registry") as registry:
        scale = Scale(registry, AccessLog(scratch / "registry"), checkout)
        tags = scratch / "registry" / "data/docker/registry/v2/repositories" / _REPOSITORY / "_manifests/tags"
        there = 0
        for size in sizes:
            print(f"making {size:,} stage tags", flush=True)
            _fabricate(tags, range(there, size))
            there = size
            rows += [case.row(size) for case in scale.measure(repetitions)]
    return rows


def _fabricate(tags: Path, numbers: Iterable[int]) -> None:
    """Stage tags of checksums that nobody asks for, as the registry keeps them on its disk."""
    for number in numbers:
        checksum = hashlib.sha256(b"%d" % number).hexdigest()
        current = tags / stage_tag(checksum, 1_700_000_000_000 + number) / "current"
        current.mkdir(parents=True)
        (current / "link").write_text(f"sha256:{checksum}")


if __name__ == "__main__":
    sys.exit(main())
