"""What it means when the runtime did not start a command, or its image is for another machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lineal.engine import CommandFailed
from lineal.errors import BuildFailed, LinealError, Unreachable

_WRONG_MACHINE = "This machine cannot execute programs of this image: it is for another processor architecture."
_MACHINE_REMEDY = "Build for this machine's platform or install emulation (binfmt) on it."


class Watcher:
    """Passes lines on and notices the one that says that the image is for another machine."""

    def __init__(self, output: Callable[[str], None]) -> None:
        self._output = output
        self._last = ""
        self.wrong_machine = False

    def __call__(self, line: str) -> None:
        if line.lower().endswith("exec format error"):
            self.wrong_machine = True
        self._last = line
        self._output(line)

    def failure(self, status: int, said: Sequence[str]) -> LinealError | CommandFailed:
        """`said` are the runtime's own words; none when the command itself ended so."""
        reason = "; ".join(said)
        if self.wrong_machine or "exec format error" in reason.lower():
            return BuildFailed(_WRONG_MACHINE, id="LN-5007", remedy=_MACHINE_REMEDY)
        if not said:
            return CommandFailed(status)
        if "exec" in reason or "executable" in reason:
            for text, known in (("no such file or directory", 127), ("not found", 127), ("permission denied", 126)):
                if text in reason.lower():
                    if reason not in self._last:  # runc says it to the command's output, too
                        self._output(reason)
                    return CommandFailed(known)
        return Unreachable(
            f"The OCI runtime did not start the command: {reason.rstrip('.')}.", id="LN-5046",
            remedy="See docs/engines.md for what it needs, or name another engine by `--engine` (LINEAL_ENGINE).",
        )  # fmt: skip
