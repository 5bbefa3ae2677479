"""Progress on a terminal: a live line for each running stage, finished ones above."""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from lineal.text import TAIL, cells, duration, fit, paint, plural, result_line, strip_controls

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAMES = 10
"""Per second."""


@dataclass(slots=True)
class _Stage:
    began: float
    last: str = ""
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))


class Terminal:
    """`rich` draws, and is imported when the first stage begins: a run with everything cached never needs it.

    The drawing thread reads `_running` without the lock, because printing takes rich's lock inside this one."""

    def __init__(self, stream: TextIO, *, colour: bool = True) -> None:
        self._stream = stream
        self._colour = colour
        self._lock = threading.RLock()
        self._running: dict[str, _Stage] = {}
        self._live: Live | None = None
        self._cached = 0

    def note(self, text: str) -> None:
        with self._lock:
            self._say(*(strip_controls(line, colour=self._colour) for line in text.splitlines()))

    def warn(self, text: str) -> None:
        with self._lock:
            line = strip_controls(" ".join(text.splitlines()))
            self._say(paint("warning:", "yellow", self._colour) + " " + line)

    def begin(self, stage: str) -> None:
        with self._lock:
            self._running[stage] = _Stage(time.monotonic())
            if self._live is None:
                self._live = self._start()

    def output(self, stage: str, line: str) -> None:
        with self._lock:
            state = self._running.setdefault(stage, _Stage(time.monotonic()))
            state.tail.append(strip_controls(line, colour=self._colour))
            state.last = strip_controls(line).strip() or state.last

    def end(self, stage: str, outcome: str, seconds: float, detail: str = "") -> None:
        with self._lock:
            state = self._running.pop(stage, None)
            if outcome == "cached":
                self._cached += 1
                return
            line = result_line(stage, outcome, seconds, detail, colour=self._colour, width=self._size()[0])
            self._say(line)
            if outcome == "failed" and state is not None:
                bar = paint("│", "red", self._colour)
                self._say(*(f"{bar} {line}" for line in state.tail))

    def close(self) -> None:
        """Take the live lines away and give the cursor back."""
        with self._lock:
            self._running.clear()
            self._say()
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _size(self) -> tuple[int, int]:
        if self._live is not None:
            return self._live.console.size.width, self._live.console.size.height
        size = shutil.get_terminal_size((100, 24))
        return size.columns, size.lines

    def _say(self, *lines: str) -> None:
        """Lines above the live ones; what was cached since the last line goes first."""
        if self._cached:
            count, self._cached = self._cached, 0
            lines = (paint(f"{'cached':<10}{'':7}  {plural(count, 'stage')}", "dim", self._colour), *lines)
        for line in lines:
            if self._live is None:
                self._stream.write(line + "\n")
            else:
                from rich.text import Text

                self._live.console.print(Text.from_ansi(line), soft_wrap=True, highlight=False)
        self._stream.flush()

    def _start(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._stream, no_color=not self._colour, highlight=False, force_terminal=True)
        live = Live(
            console=console,
            get_renderable=self._draw,
            refresh_per_second=_FRAMES,
            transient=True,
            # Standard output carries the result and must never end up among the live lines.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        live.start()
        return live

    def _draw(self) -> Text:
        from rich.text import Text

        width, height = self._size()
        stages = list(self._running.items())
        room = max((height - 2) // 2, 1)
        text = Text(no_wrap=True, overflow="crop", end="")
        for title, state in stages[:room]:
            self._draw_stage(text, title, state, width - 1)
        if len(stages) > room:
            text.append(f"  and {len(stages) - room} more running\n", style="dim")
        text.right_crop(1)
        return text

    def _draw_stage(self, text: Text, title: str, state: _Stage, width: int) -> None:
        elapsed = time.monotonic() - state.began
        frame = _SPINNER[int(time.monotonic() * _FRAMES) % len(_SPINNER)]
        took = duration(elapsed)
        title = fit(strip_controls(title), width - 12, "…")
        text.append(frame, style="cyan").append(f" {title}")
        text.append(f"{took:>{max(width - 2 - cells(title), 1)}}\n", style="dim")
        if state.last:
            text.append(f"  {fit(state.last, width - 4, '…')}\n", style="dim")
