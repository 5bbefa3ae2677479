"""How GitHub's runner and GitLab read a log, after actions/runner ActionCommand.cs and ActionCommandManager.cs."""

from __future__ import annotations

import re

_KNOWN = {
    "add-mask", "add-path", "debug", "echo", "endgroup", "error", "group", "notice", "save-state", "set-env",
    "set-output", "stop-commands", "warning",
}  # fmt: skip
_SECTION = re.compile(r"section_(start|end):\d+:([\w.-]+)(\[[^\]]*\])?\r\x1b\[0K")


def github_commands(log: str) -> list[tuple[str, str]]:
    """(command, data) that the runner would act on, in order; the stop token's own command as `resume`."""
    taken: list[tuple[str, str]] = []
    token = ""
    for line in re.split(r"\r\n|\r|\n", log):
        name, data = _parsed(line, _KNOWN | ({token} if token else set()))
        if not name:
            continue
        if token:
            if name == token:
                taken.append(("resume", ""))
                token = ""
        else:
            taken.append((name, data))
            token = data.lower() if name == "stop-commands" else ""
    return taken


def _parsed(line: str, known: set[str]) -> tuple[str, str]:
    text = line.strip()
    if text.startswith("::") and (end := text.find("::", 2)) >= 0:
        name = text[2:end].split(" ")[0].lower()
        if name in known:
            data = text[end + 2 :]
            return name, data.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
    if (start := line.find("##[")) >= 0 and (end := line.find("]", start)) >= 0:
        name = line[start + 3 : end].split(" ")[0].lower()
        if name in known:
            return name, line[end + 1 :]
    return "", ""


def gitlab_sections(log: str) -> list[tuple[str, str, str]]:
    """(start or end, name, options) of every section marker that GitLab would see."""
    return [(match[1], match[2], match[3] or "") for match in _SECTION.finditer(log)]
