"""What a command prints, and what it means when its build fails."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

from lineal.engine import Command, CommandFailed, NoWorkingDirectory
from lineal.engine.buildkit.address import Address
from lineal.engine.buildkit.connect import lost
from lineal.engine.buildkit.grpc import CANCELLED, UNAVAILABLE, ConnectionLost, RpcError, Stream
from lineal.engine.buildkit.protocol import control_pb2
from lineal.engine.log_lines import LogLines
from lineal.errors import BuildFailed, LinealError, Unreachable

_EXIT = re.compile(r"exit code: (\d+)")
_NO_SESSION = "no active session"
_RUNC = "runc run failed: unable to start container process: "
_NOT_GRANTED = re.compile(r"granting entitlement (\S+) is not allowed")
_NO_DEVICE = re.compile(
    r"required device (\S+) is not registered|CDI device (\S+) is required|devices? (.+) (?:is|are) requested by the"
)
NO_JOB = "no such job"
"""What the daemon answers to a part of a build that has ended, or never began."""
_NO_USER = ("unable to find user", "unable to find group", "no matching entries in")
_WRONG_MACHINE = "The engine cannot execute programs of this image: it is for another processor architecture."
_MACHINE_REMEDY = "Build for the engine's platform or install emulation (binfmt) on the engine's machine."
_MANIFEST, _CONFIG = "exporting manifest ", "exporting config "
"""How the daemon tells what it has made, before the digests."""
COMMAND = "RUN"
"""The name of the command's operation, for the daemon."""


class CommandLog:
    """The lines that a command prints; nothing else of a build prints any."""

    def __init__(self, command: Command, output: Callable[[str], None]) -> None:
        self._lines = LogLines(command.secrets)
        self._output = output
        self.began = False
        """Whether the daemon has begun with the command."""
        self.ended = False
        """Whether it ended well: what fails then is the engine's work."""
        self.wrong_machine = False
        self._image = ""
        self._all_told = threading.Event()
        self.not_started = ""
        """Why the container's process could not be started."""

    def follow(self, status: Stream) -> None:
        try:
            with suppress(RpcError, ConnectionLost):
                for message in status.messages():
                    self._take(control_pb2.StatusResponse.FromString(message))
        finally:
            self._all_told.set()

    def image(self) -> str:
        """Wait until the daemon has made an image of the result, which it is going to push. Returns the digest, or
        nothing when it does not tell."""
        self._all_told.wait()
        return self._image

    def _take(self, told: control_pb2.StatusResponse) -> None:
        self.began |= any(one.name == COMMAND and one.HasField("started") for one in told.vertexes)
        for log in told.logs:
            self._say(self._lines.add(log.stream, log.msg))
        for one in told.statuses:
            if one.ID.startswith(_MANIFEST):
                self._image = one.ID.removeprefix(_MANIFEST)
            # It is the last thing that is written before the push.
            if one.ID.startswith(_CONFIG) and one.HasField("completed"):
                self._all_told.set()

    def end(self) -> None:
        self._say(self._lines.rest())

    def _say(self, lines: Iterator[str]) -> None:
        for line in lines:
            if line.endswith("exec format error"):
                self.wrong_machine = True
            if line.startswith(_RUNC):
                self.not_started = line.removeprefix(_RUNC)
            self._output(line)


def _not_granted(entitlement: str, address: Address) -> BuildFailed:
    return BuildFailed(
        f"The buildkitd at {address} does not grant {entitlement}, which this RUN asks for.", id="LN-5037",
        remedy=f"Start it with `--allow-insecure-entitlement {entitlement}`, or name another engine.",
    )  # fmt: skip


def refuse(
    error: RpcError, address: Address, command: Command, log: CommandLog, failure: Exception | None
) -> Exception:
    """What to raise for a failed build; `failure` is what went wrong here while the daemon asked for something."""
    message = error.message
    if isinstance(failure, LinealError):
        return failure
    if error.code in (CANCELLED, UNAVAILABLE) or _NO_SESSION in message:
        # Nobody here has given it up.
        return lost(address, error)
    if granted := _NOT_GRANTED.search(message):
        return _not_granted(granted[1], address)
    if device := _NO_DEVICE.search(message):
        name = next(group for group in device.groups() if group).strip('"')
        return BuildFailed(
            f"The buildkitd at {address} has no device {name!r} for this RUN: {message}.", id="LN-5038",
            remedy="Describe it to the daemon (CDI, `[cdi]` in its buildkitd.toml), or leave `required` out.",
        )  # fmt: skip
    unable = Unreachable(f"The buildkitd at {address} could not do this RUN: {message}.", id="LN-5029")
    if log.ended:
        return unable
    if log.wrong_machine or "exec format error" in message:
        return BuildFailed(_WRONG_MACHINE, id="LN-5007", remedy=_MACHINE_REMEDY)
    if any(text in message for text in _NO_USER):
        reason = message.rpartition(": ")[2]
        remedy = "Create it in an earlier RUN, or use a number."
        return BuildFailed(f"The image has no such user: {reason}.", id="LN-5008", remedy=remedy)
    if "not a directory" in (log.not_started or message) and command.workdir in (log.not_started or message):
        return NoWorkingDirectory()
    if "executable file not found" in log.not_started or "no such file or directory" in log.not_started:
        return CommandFailed(127)
    if "permission denied" in log.not_started:
        return CommandFailed(126)
    if found := _EXIT.search(message):
        return CommandFailed(int(found[1]))
    return unable
