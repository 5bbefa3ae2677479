"""An OCI runtime of this machine as Lineal's engine: there is no daemon."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import ClassVar

from bench.process import Failed


class PrivateRunc:
    """What it keeps is below one directory. A RUN has the host's network, as it always has with this engine."""

    nowhere: ClassVar = {"LINEAL_ENGINE": "buildkit:unix:///nonexistent/buildkitd.sock"}

    def __init__(self, directory: Path) -> None:
        if not shutil.which("runc"):
            raise Failed("The engine runc needs runc: install it (Docker's packages bring it).")
        self._directory = directory
        self.variables = {"LINEAL_ENGINE": "runc", "LINEAL_RUNC_ROOT": str(directory)}

    def empty(self) -> None:
        self.stop()

    def stop(self) -> None:
        # What a run leaves is being removed.
        while any(self._directory.glob("run-*")):
            time.sleep(0.05)
        if self._directory.exists():
            shutil.rmtree(self._directory)
