"""Devices of `RUN --device` in engines that give none."""

from __future__ import annotations

from collections.abc import Callable

from lineal.engine import Command
from lineal.errors import BuildFailed


def leave_out(command: Command, engine: str, output: Callable[[str], None]) -> None:
    """Say that the command gets none. Raises `BuildFailed` when it cannot do without one."""
    for device in command.devices:
        if device.required:
            raise BuildFailed(
                f"RUN --device={device.name},required needs a buildkitd: the engine {engine} gives no devices.",
                id="LN-5039",
                remedy="Name one by `--engine buildkit:ADDRESS` (LINEAL_ENGINE), or leave `required` out.",
            )
        output(f"The device {device.name} is left out: the engine {engine} gives none.")
