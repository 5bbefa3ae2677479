"""`python -m tests.tools.lines FILE COMMAND…`: runs `lineal COMMAND…` and counts the lines that each of its functions
executes, in all threads. FILE gets them as JSON: `module:function` -> lines."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import lineal
from lineal.cli import _End, _run

_ROOT = str(Path(lineal.__file__).parent)
_counted: Counter[CodeType] = Counter()
_guard = threading.Lock()


def _enter(frame: FrameType, _event: str, _arg: object) -> Any:
    return _line if frame.f_code.co_filename.startswith(_ROOT) else None


def _line(frame: FrameType, event: str, _arg: object) -> Any:
    if event == "line":
        with _guard:
            _counted[frame.f_code] += 1
    return _line


def main() -> None:
    file, sys.argv = sys.argv[1], ["lineal", *sys.argv[2:]]
    threading.settrace(_enter)
    sys.settrace(_enter)
    _run(_End(), nullcontext())
    sys.settrace(None)
    found: Counter[str] = Counter()
    for code, lines in _counted.copy().items():
        found[f"{Path(code.co_filename).relative_to(_ROOT)}:{code.co_qualname}"] += lines
    Path(file).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
