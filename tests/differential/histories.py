"""Dockerfiles of random histories: some RUNs, and what is copied and mounted out of the target that they end in."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.differential.generated import Draw, Example, File, Program
from tests.histories import PATHS, History, Step, histories

RUNS = 4


@st.composite
def history_examples(draw: Draw, most: int) -> Example:
    """Many histories in one build, each in a folder of its own."""
    together = draw(st.lists(histories(RUNS), min_size=most, max_size=most))
    return example(together, draw(st.lists(PATHS, min_size=2, max_size=2)))


def example(together: list[History], paths: list[str]) -> Example:
    folders = " ".join(f"/w/{number}" for number in range(len(together)))
    front = ["ARG BASE", "FROM $BASE AS src", f"RUN mkdir -p {folders}", *_runs(together)]
    copied = [f"COPY --from=src /w/{number}/{path} /x{number}" for number, path in enumerate(paths)]
    whole = ("FROM scratch", "COPY --from=src / /", "COPY --from=src /w/0 /copied/")
    mounted = ("FROM $BASE", "RUN --mount=from=src,source=/w,target=/m cp -a /m /mounted")
    programs = [whole, mounted, *(("FROM $BASE", line) for line in copied)]
    return Example({"a": File()}, tuple(Program((), (*front, *lines)) for lines in programs))


def _runs(together: list[History]) -> list[str]:
    lines = []
    for layer in range(RUNS):
        commands = []
        for number, history in enumerate(together):
            steps = history[layer] if layer < len(history) else []
            commands += [_command(f"/w/{number}", f"{layer}-{number}-{at}", step) for at, step in enumerate(steps)]
        lines.append(f"RUN exec 2>/dev/null; {' '.join(commands)} true")
    return lines


def _command(folder: str, text: str, step: Step) -> str:
    what, name, other = step
    commands = {
        "rm": f"rm -rf {name}",
        "mkdir": f"mkdir -m {other} {name}",
        "ln -s": f"ln -s {folder if other.startswith('/') else ''}{other} {name}",
        # A pipe that nobody reads would keep the shell.
        "write": f"[ -p {name} ] || echo {text} >>{name}",
        "mkfifo": f"mkfifo {name}",
        "chmod": f"chmod {other} {name}",
        "ln": f"ln {name} {other}",
        "mv": f"mv -f {name} {other} </dev/null",
        "cp": f"cp -a {name} {other}",
    }
    return f"(cd {folder} && {{ {'; '.join(commands[part] for part in what.split(', '))}; }});"
