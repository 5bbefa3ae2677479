"""Dockerfiles of random histories: some RUNs, and what is copied and mounted out of the target that they end in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

from tests.differential.generated import Draw, Example, File, Program
from tests.histories import PATHS, History, Step, histories

_LAYERS = 4
Told = tuple[History, str]
"""A history, and a path of it that is copied by itself; empty for none."""


@dataclass(frozen=True)
class Histories(Example):
    """Many histories in one build, each in a folder of its own."""

    told: tuple[Told, ...] = ()
    chosen: tuple[int, ...] = field(default=())
    """Which of the programs; all, when empty."""

    def __repr__(self) -> str:
        return f"histories.of({list(self.told)!r})"

    def only(self, program: Program) -> Example:
        number = self.programs.index(program)
        if number < len(_WHOLE):
            return of(self.told, (number,))
        return of([[one for one in self.told if one[1]][number - len(_WHOLE)]], (len(_WHOLE),))

    def smaller(self) -> Iterator[Example]:
        half = len(self.told) // 2
        if half:
            yield of(self.told[:half], self.chosen)
            yield of(self.told[half:], self.chosen)
        for number, (history, path) in enumerate(self.told):
            for layer, steps in enumerate(history):
                for at in range(len(steps)):
                    less = [*history[:layer], steps[:at] + steps[at + 1 :], *history[layer + 1 :]]
                    yield of([*self.told[:number], (less, path), *self.told[number + 1 :]], self.chosen)


@st.composite
def history_examples(draw: Draw, most: int) -> Example:
    told = draw(st.lists(histories(_LAYERS), min_size=most, max_size=most))
    paths = draw(st.lists(PATHS, min_size=2, max_size=2)) + [""] * most
    return of(list(zip(told, paths, strict=False)))


_WHOLE = (
    ("FROM scratch", "COPY --from=src / /", "COPY --from=src /w/0 /copied/"),
    ("FROM $BASE", "RUN --mount=from=src,source=/w,target=/m cp -a /m /mounted"),
)


def of(told: Sequence[Told], chosen: tuple[int, ...] = ()) -> Histories:
    folders = " ".join(f"/w/{number}" for number in range(len(told)))
    front = ["ARG BASE", "FROM $BASE AS src", f"RUN mkdir -p {folders}", *_runs([history for history, _ in told])]
    parts = [f"COPY --from=src /w/{number}/{path} /x" for number, (_, path) in enumerate(told) if path]
    ends = [*_WHOLE, *(("FROM $BASE", line) for line in parts)]
    programs = [Program((), (*front, *end)) for number, end in enumerate(ends) if number in chosen or not chosen]
    return Histories({"a": File()}, tuple(programs), tuple(told), chosen)


def _runs(together: list[History]) -> list[str]:
    lines = []
    for layer in range(_LAYERS):
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
