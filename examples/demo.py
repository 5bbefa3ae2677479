"""`make demo`: the life of a small shop, built by Lineal, as a story. Every claim is checked; a false one ends it.

STORE=host/repository keeps the stages in a registry instead of a directory."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BUSYBOX_NOTE = "busybox is GPL-2.0; it stays on this machine (its source: Debian's package busybox-static)"
NOWHERE = "buildkit:unix:///no/engine/here"
VISIT = "  visit: {context: visit, needs: {SHOP: shop}}\n"
VISITOR = """\
ARG SHOP
FROM ${SHOP}
USER root
RUN --network=none httpd -p 8080 -h /srv && \\
    wget -q -O - http://127.0.0.1:8080/cgi-bin/shop | grep 'Tea: 4,80 EUR'
"""
BOLD, GREEN, RED, DIM, PLAIN = (
    ("\033[1m", "\033[32m", "\033[31m", "\033[2m", "\033[0m") if sys.stdout.isatty() else [""] * 5
)


class Story:
    """Commands run in `cwd`, echoed as a person would type them; `report` is what the last `lineal` said."""

    def __init__(self, scratch: Path, store: str) -> None:
        self.scratch = scratch
        self.cwd = scratch / "shop"
        self.env = environment(store)
        self.report: dict[str, Any] = {}

    def chapter(self, title: str, text: str) -> None:
        print(f"\n{BOLD}== {title}{PLAIN}\n{text}\n", flush=True)

    def run(self, command: str, *, engine: bool = True, status: int = 0, quiet: bool = False) -> str:
        """Gives the command's stdout; without `engine`, any call of one would fail."""
        shown = command if engine else f"LINEAL_ENGINE={NOWHERE} {command}"
        print(f"{DIM}{self.cwd.name}{PLAIN} $ {shown}", flush=True)
        env = self.env if engine else {**self.env, "LINEAL_ENGINE": NOWHERE}
        words = shlex.split(command)
        done = subprocess.run(words, cwd=self.cwd, env=env, stdout=subprocess.PIPE, text=True, check=False)
        if not quiet:
            print(done.stdout, end="", flush=True)
        if done.returncode != status:
            self.fail(f"`{command}` ended with {done.returncode}, expected {status}")
        return done.stdout

    def try_quietly(self, command: str) -> bool:
        """Runs what is no part of the story; gives whether it worked."""
        try:
            return (
                subprocess.run(shlex.split(command), env=self.env, capture_output=True, check=False).returncode == 0
            )
        except FileNotFoundError:
            return False

    def lineal(self, arguments: str, *, engine: bool = True, status: int = 0) -> str:
        """Runs Lineal and reads its report."""
        report = self.scratch / "report.json"
        report.unlink(missing_ok=True)
        output = self.run(f"lineal {arguments} --report ../report.json", engine=engine, status=status)
        self.report = json.loads(report.read_text())
        return output

    def expect(self, claim: str, holds: bool) -> None:
        if not holds:
            self.fail(f"not so: {claim}\n{json.dumps(self.report, indent=1)}")
        print(f"{GREEN}✓ {claim}{PLAIN}", flush=True)

    def fail(self, why: str) -> None:
        print(f"{RED}✗ {why}{PLAIN}\nEverything is left in {self.scratch}", file=sys.stderr)
        raise SystemExit(1)

    def stages(self, *outcomes: str) -> list[dict[str, Any]]:
        return [stage for stage in self.report["stages"] if stage["outcome"] in outcomes]

    def made(self) -> list[str]:
        """The instructions of the stages that the last run made, or would make."""
        return [stage["instruction"] for stage in self.stages("built", "assembled", "missing")]

    def commands_run(self) -> int:
        """How many `RUN` the last run executed, or would execute."""
        return sum(instruction.lstrip().upper().startswith("RUN") for instruction in self.made())

    def digests(self) -> dict[str, str]:
        return {image["name"]: image["digest"] for image in self.report["images"]}


def environment(store: str) -> dict[str, str]:
    """This machine's, without the CI it may be: the scratch repository is a plain clone."""
    foreign = ("CI", "GITHUB_", "GITLAB_", "GIT_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    cache = Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lineal-test"
    for role in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{role}_NAME": "Ada Example", f"GIT_{role}_EMAIL": "ada@example.com"}
    env |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_MERGE_AUTOEDIT": "no"}
    env |= {"PATH": f"{Path(sys.executable).parent}:{env['PATH']}:/usr/sbin:/sbin", "LINEAL_REPO": store}
    # `make demo` fetches Helm; one that the user named comes first.
    if "LINEAL_HELM" not in env and (cache / "helm4").exists():
        env["LINEAL_HELM"] = str(cache / "helm4")
    return env


def open_shop(story: Story) -> None:
    story.chapter("A shop", "Two images (what the shop runs on, and the shop), a chart, a values template: in git.")
    shutil.copytree(HERE / "shop", story.cwd)
    busybox = shutil.which("busybox", path=story.env["PATH"])
    if busybox is None:
        story.fail("busybox is missing: start the demo with `make demo`, which installs busybox-static")
        return
    shutil.copy(busybox, story.cwd / "docker" / "busybox")
    # A tree of its own: in a registry that an earlier demo used, equal full source would be inherited.
    (story.cwd / "OPENED").write_text(f"{time.strftime('%F %T')} {secrets.token_hex(8)}\n")
    print(f"{DIM}({BUSYBOX_NOTE}){PLAIN}\n")
    story.run("git init --quiet --initial-branch=main")
    story.run("git add .")
    story.run('git commit --quiet -m "Open the shop"')
    story.run("cat lineal.yaml docker/base.Dockerfile")
    print(f"{DIM}export LINEAL_REPO={story.env['LINEAL_REPO']}{PLAIN}")


def first_build(story: Story) -> None:
    story.chapter("The first build", "Nothing is there yet: RUN needs an engine, everything else does not.")
    story.lineal("build")
    story.expect("both images were built", [image["built"] for image in story.report["images"]] == [True, True])
    story.expect(f"{story.commands_run()} RUN executed by the engine", story.commands_run() == 2)


def same_commit_again(story: Story) -> None:
    story.chapter(
        "The same commit, on another machine", "A fresh clone, and no engine: there is nothing to do for one."
    )
    digests = story.digests()
    story.run("git clone --quiet . ../runner")
    story.cwd = story.scratch / "runner"
    story.lineal("build", engine=False)
    story.cwd = story.scratch / "shop"
    story.expect(f"nothing was built, in {story.report['duration']:.2f} s", not story.made())
    story.expect("every digest is the same", story.digests() == digests)


def source_change(story: Story) -> None:
    story.chapter("One line of source", "Tea is dearer now. A COPY is assembled without any engine; no RUN runs.")
    digests = story.digests()
    story.run("sed -i s/Tea,450/Tea,480/ shop/site/catalogue.csv")
    story.run("git diff --unified=0")
    story.run('git commit --quiet --all -m "Tea is dearer now"')
    story.lineal("build", engine=False)
    story.expect(f"made again: {', '.join(story.made())}", bool(story.made()) and story.commands_run() == 0)
    story.expect("image base is the same", story.digests()["base"] == digests["base"])
    story.expect("image shop is new", story.digests()["shop"] != digests["shop"])


def branch(story: Story) -> dict[str, str]:
    story.chapter("A branch", "A new version of a library: RUN installs it again, on the branch `decimal-comma`.")
    story.run("git switch --quiet --create decimal-comma")
    story.run("sed -i -e 's/money 1.0/money 1.1/' -e 's/%d.%02d/%d,%02d/' vendor/money.sh")
    story.run("sh -c 'cd vendor && sha256sum *.sh > vendor.lock'")
    story.run("git diff --unified=0")
    story.run('git commit --quiet --all -m "money 1.1: a decimal comma"')
    story.lineal("build")
    story.expect("1 RUN executed: the libraries; the system below them was there", story.commands_run() == 1)
    return story.digests()


def hidden_from_main(story: Story) -> None:
    story.chapter(
        "Hidden from main",
        "Somebody puts the very same change on main, by cherry-pick. Its stages are in the store, checksum for\n"
        "checksum, but on a line of history that main does not have: what an unmerged branch built stays there.",
    )
    story.run("git switch --quiet main")
    story.run("sh -c 'echo Open from nine to five. > HOURS.md'")
    story.run("git add HOURS.md")
    story.run('git commit --quiet -m "Opening hours"')
    story.run("git cherry-pick decimal-comma", quiet=True)
    story.lineal("plan --exit-code", status=2)
    missing = story.stages("missing")
    story.expect(f"main would build: {', '.join(story.made())}", story.commands_run() == 1)
    story.expect(f"the reason given: {missing[0]['reason']}", bool(missing[0]["reason"]))


def merge(story: Story, branch_digests: dict[str, str]) -> None:
    story.chapter(
        "The merge", "With the branch's history come the branch's stages. Nothing is built, no engine is asked."
    )
    story.run('git merge --quiet decimal-comma -m "Merge branch decimal-comma"')
    story.run("git log --graph --oneline")
    story.lineal("build", engine=False)
    story.expect("nothing was built", not story.made())
    story.expect("main now has the digests of the branch", story.digests() == branch_digests)


def render(story: Story) -> None:
    story.chapter("The release", "Helm's manifests, with the image by digest: what was built is what will run.")
    manifests = story.lineal("render --env demo", engine=False)
    story.expect("the manifests name the shop by digest", f"@{story.digests()['shop']}" in manifests)


def visit(story: Story) -> None:
    if not story.try_quietly("docker version"):
        visit_without_docker(story)
        return
    story.chapter("A visit", "An ordinary engine runs the image.")
    shop = next(image for image in story.report["images"] if image["name"] == "shop")
    with running(story, image_for_engine(story, shop)) as container:
        page = story.run(f"docker exec {container} wget -q -O - http://127.0.0.1:8080/cgi-bin/shop")
    story.expect("the shop is open, with the new price and the decimal comma", "Tea: 4,80 EUR" in page)


def visit_without_docker(story: Story) -> None:
    story.chapter("A visit", "There is no Docker here: a RUN on the image opens the shop, and reads its page.")
    story.run("git switch --quiet --create visit")
    config = story.cwd / "lineal.yaml"
    config.write_text(config.read_text().replace("images:\n", f"images:\n{VISIT}", 1))
    (story.cwd / "visit").mkdir()
    (story.cwd / "visit/Dockerfile").write_text(VISITOR)
    story.run("cat visit/Dockerfile")
    story.run("git add .")
    story.run('git commit --quiet -m "A visit to the shop"')
    story.lineal("build visit")
    story.expect("the shop is open, with the new price and the decimal comma", story.commands_run() == 1)


def image_for_engine(story: Story, image: dict[str, Any]) -> str:
    store = story.env["LINEAL_REPO"]
    if not store.startswith("layout:"):
        return str(image["ref"])
    name = f"lineal-demo:{secrets.token_hex(4)}"
    source = f"oci:{store.removeprefix('layout:')}:{image['tag']}"
    # skopeo has its own idea of where the engine is.
    host = f"--dest-daemon-host {story.env['DOCKER_HOST']} " if story.env.get("DOCKER_HOST") else ""
    story.run(f"skopeo --insecure-policy copy --quiet {host}{source} docker-daemon:{name}")
    return name


@contextmanager
def running(story: Story, image: str) -> Iterator[str]:
    container = f"lineal-demo-{secrets.token_hex(4)}"
    story.run(f"docker run --detach --name {container} {image}", quiet=True)
    try:
        # The web server needs a moment to listen.
        for _ in range(50):
            if story.try_quietly(f"docker exec {container} nc -z 127.0.0.1 8080"):
                break
            time.sleep(0.1)
        yield container
    finally:
        story.try_quietly(f"docker rm --force {container}")
        story.try_quietly(f"docker rmi {image}")


def main() -> None:
    scratch = Path(tempfile.mkdtemp(prefix="lineal-demo-"))
    story = Story(scratch, os.environ.get("STORE") or f"layout:{scratch}/store")
    open_shop(story)
    first_build(story)
    same_commit_again(story)
    source_change(story)
    branch_digests = branch(story)
    hidden_from_main(story)
    merge(story, branch_digests)
    render(story)
    visit(story)
    shutil.rmtree(scratch)
    print(f"\n{BOLD}That was Lineal.{PLAIN} The shop is in examples/shop, this story in examples/demo.py.")


if __name__ == "__main__":
    main()
