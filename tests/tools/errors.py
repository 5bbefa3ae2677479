"""docs/errors.md, made of the ids that the code raises and their causes in docs/errors.toml.

`make lint` checks that it is current; `python -m tests.tools.errors --write` writes it."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence

from tests.tools.raises import ROOT, VARIES, Failure, Reader

CATALOGUE = ROOT / "docs" / "errors.toml"
PAGE = ROOT / "docs" / "errors.md"

Catalogue = Mapping[str, Mapping[str, str]]


def catalogue() -> Catalogue:
    return tomllib.loads(CATALOGUE.read_text())


def complaints(known: Catalogue, failures: Sequence[Failure], page: str) -> Iterator[str]:
    """What is wrong with the ids, one sentence each. `page` is the one that people have read."""
    causes, retired = known["causes"], known["retired"]
    used = {failure.id: failure for failure in failures}
    for failure in failures:
        if failure.id not in causes:
            yield f"{failure.where}: {failure.id} has no cause in docs/errors.toml."
        if failure.exit_code != used[failure.id].exit_code:
            yield f"{failure.where}: {failure.id} ends with another exit code than in {used[failure.id].where}."
    for id in sorted(causes.keys() - used.keys()):
        yield f"docs/errors.toml: nothing raises {id}. An id never goes: move it to [retired]."
    for id in sorted(set(re.findall(r"^### (LN-\d+)", page, re.M)) - causes.keys() - retired.keys()):
        yield f"docs/errors.toml: {id} is gone. An id never goes: move it to [retired]."
    for area in known["areas"]:
        numbers = sorted(int(id[3:]) for id in causes.keys() | retired.keys() if id.startswith(f"LN-{area}"))
        first = int(area) * 1000 + 1
        if numbers != list(range(first, first + len(numbers))):
            yield f"docs/errors.toml: the ids of area {area} are not LN-{first} and so on without a gap."


def written(known: Catalogue, failures: Sequence[Failure]) -> str:
    lines = [known["page"]["text"].strip(), ""]
    for area, title in known["areas"].items():
        lines += [f"## {title}", ""]
        for id, cause in known["causes"].items():
            found = [failure for failure in failures if failure.id == id]
            if found and id.startswith(f"LN-{area}"):
                lines += [f"### {id}", "", f"{cause} Exit code {found[0].exit_code}.", "", *_table(found)]
    if known["retired"]:
        lines += ["## No longer in use", "", *(f"- {id}: {why}" for id, why in known["retired"].items()), ""]
    return "\n".join(lines)


def _table(failures: Sequence[Failure]) -> list[str]:
    rows = sorted({(_cell(sentence), _cell(remedy)) for failure in failures for sentence, remedy in failure.sayings})
    head = ["| what it says | what to do |", "|---|---|"]
    return [*head, *(f"| {sentence} | {remedy} |" for sentence, remedy in rows), ""] if rows else []


def _cell(text: str) -> str:
    """A text in a cell of a table. In code only `|` is special."""
    text = re.sub(f"{VARIES}[{VARIES} ]*{VARIES}", VARIES, " ".join(text.split())).replace("|", r"\|")
    parts = re.split("(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([<*\[\]])", r"\\\1", part) for part in parts)


def main(arguments: Sequence[str]) -> int:
    known, failures = catalogue(), list(Reader().failures())
    old, new = PAGE.read_text() if PAGE.exists() else "", written(known, failures)
    wrong = list(complaints(known, failures, old))
    if not wrong and "--write" in arguments:
        PAGE.write_text(new)
    elif not wrong and new != old:
        wrong = ["docs/errors.md is not current: run `.venv/bin/python -m tests.tools.errors --write`."]
    sys.stderr.write("".join(f"{line}\n" for line in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
