"""Progress as lines, for CI logs and files: what a stage prints stands together, in one group."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from dataclasses import field
from typing import Protocol, TextIO

from lineal.text import TAIL, defuse_commands, paint, plural, result_line, strip_controls
from lineal.value import dataclass

_PREFIX = "| "
# Output of stages that run side by side waits for their end, but not more of it than this (characters).
_BUFFER = 1 << 20


class Markers(Protocol):
    """How a log marks a group of lines. Each method gives the text to print, empty for nothing; not thread-safe."""

    collapses: bool
    """Whether the log hides a closed group's lines until somebody clicks."""

    def open(self, title: str, collapsed: bool) -> str: ...

    def close(self) -> str: ...

    def stop_commands(self) -> str:
        """From here on, lines are only text: no line of them can be a command to the CI."""

    def resume(self) -> str: ...

    def warning(self, text: str) -> str: ...


class Headers:
    """A plain log: a header line above each group."""

    collapses = False

    def open(self, title: str, collapsed: bool) -> str:  # noqa: ARG002
        return f"== {title}"

    def close(self) -> str:
        return ""

    def stop_commands(self) -> str:
        return ""

    def resume(self) -> str:
        return ""

    def warning(self, text: str) -> str:
        return f"warning: {text}"


@dataclass(slots=True)
class _Stage:
    waiting: list[str] = field(default_factory=list)
    size: int = 0
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))
    printed: bool = False


class LogProgress:
    """A stage that begins to print while it runs alone is streamed; the output of others waits for their end.

    A stage that ends without a word does not break into a streamed one: its result follows that one's group.
    Cached stages are counted, not listed: the summary has them."""

    def __init__(self, stream: TextIO, markers: Markers | None = None, *, colour: bool = False) -> None:
        self._stream = stream
        self._markers: Markers = markers or Headers()
        self._colour = colour
        self._lock = threading.RLock()
        self._running: dict[str, _Stage] = {}
        self._open: str | None = None
        self._later: list[str] = []
        self._cached = 0

    def note(self, text: str) -> None:
        with self._lock:
            self._say(*text.splitlines())

    def warn(self, text: str) -> None:
        with self._lock:
            self._flush_cached()
            line = self._markers.warning(defuse_commands(strip_controls(" ".join(text.splitlines()))))
            if self._open is None:
                self._write(line)
            else:
                self._write(self._markers.resume(), line, self._markers.stop_commands())

    def begin(self, stage: str) -> None:
        with self._lock:
            self._running[stage] = _Stage()

    def output(self, stage: str, line: str) -> None:
        with self._lock:
            state = self._running.setdefault(stage, _Stage())
            line = _PREFIX + strip_controls(line, colour=self._colour)
            state.waiting.append(line)
            state.tail.append(line)
            state.size += len(line)
            if self._open == stage or len(self._running) == 1:
                self._print_waiting(stage, state)
            elif state.size > _BUFFER:
                self._print_waiting(stage, state)
                self._close_group()

    def end(self, stage: str, outcome: str, seconds: float, detail: str = "") -> None:
        with self._lock:
            state = self._running.pop(stage, None) or _Stage()
            if state.waiting:
                self._print_waiting(stage, state, collapsed=outcome != "failed")
            if outcome == "cached" and self._open != stage:
                self._cached += 1
                return
            result = defuse_commands(result_line(stage, outcome, seconds, detail, colour=self._colour))
            if self._open not in (None, stage) and not state.printed and outcome != "failed":
                self._later.append(result)
                return
            self._close_group(result)
            self._flush_cached()
            if outcome == "failed" and self._markers.collapses and state.tail:
                self._write(self._markers.stop_commands(), *state.tail, self._markers.resume())
            self._stream_the_last()

    def close(self) -> None:
        """Print the rest: an interrupted stage has no end of its own."""
        with self._lock:
            for stage, state in self._running.items():
                if state.waiting:
                    self._print_waiting(stage, state)
            self._close_group()
            self._running.clear()
            self._flush_cached()

    def _stream_the_last(self) -> None:
        if len(self._running) == 1:
            ((stage, state),) = self._running.items()
            if state.waiting:
                self._print_waiting(stage, state)

    def _print_waiting(self, stage: str, state: _Stage, collapsed: bool = False) -> None:
        """The stage's waiting lines, into its group, which stays open."""
        if self._open != stage:
            self._close_group()
            self._flush_cached()
            title = defuse_commands(strip_controls(stage)) + (" (continued)" if state.printed else "")
            self._write(self._markers.open(title, collapsed), self._markers.stop_commands())
            self._open = stage
        self._write(*state.waiting)
        state.waiting.clear()
        state.size = 0
        state.printed = True

    def _close_group(self, *results: str) -> None:
        """End the open group, if there is one; then the results, its own and those that waited for it."""
        if self._open is not None:
            self._open = None
            self._write(self._markers.resume(), self._markers.close())
        self._write(*results, *self._later)
        self._later.clear()

    def _flush_cached(self) -> None:
        if self._cached and self._open is None:
            count, self._cached = self._cached, 0
            self._write(paint(f"{'cached':<10}", "dim", self._colour) + f"{'':7}  {plural(count, 'stage')}")

    def _say(self, *lines: str) -> None:
        self._flush_cached()
        self._write(*(defuse_commands(strip_controls(line, colour=self._colour)) for line in lines))

    def _write(self, *lines: str) -> None:
        text = "".join(line + "\n" for line in lines if line)
        # A log that is gone must not end the build.
        if text:
            with suppress(OSError, ValueError):
                self._stream.write(text)
                self._stream.flush()
