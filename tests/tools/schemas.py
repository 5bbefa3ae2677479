"""Checks the YAML that others run by the schemas that come with check-jsonschema, without network: `make lint`.

GitLab's schema knows no components: a template is checked as GitLab reads it, its inputs and then its jobs with the
inputs filled in."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
WHOLE = {
    "github-workflows": [".github/workflows/*.yml", "examples/ci/github*.yml"],
    "github-actions": ["action.yml", "build/action.yml", "build-push/action.yml", "setup/action.yml"],
}
GITLAB = ["gitlab-ci/templates/*.yml", "gitlab-ci/.gitlab-ci.yml", "examples/ci/gitlab*.yml"]


class Loader(yaml.SafeLoader):
    """YAML as GitLab reads it: `!reference [job, key]` stands for something the schema cannot see."""


def _reference(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> list[str]:
    return ["!reference", *loader.construct_sequence(node)]


Loader.add_constructor("!reference", _reference)


def documents(text: str) -> Iterator[Any]:
    """The documents of a file; of a template with inputs, the jobs as they are without any `inputs:`."""
    first, *rest = yaml.load_all(text, Loader)
    yield first
    inputs = (first.get("spec") or {}).get("inputs") or {} if rest else {}
    for document in rest:
        yield filled(document, inputs)


def filled(value: Any, inputs: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {filled(key, inputs): filled(part, inputs) for key, part in value.items()}
    if isinstance(value, list):
        return [filled(part, inputs) for part in value]
    if not isinstance(value, str):
        return value
    if whole := re.fullmatch(r"\$\[\[ inputs\.([\w-]+) \]\]", value):
        return default(inputs[whole[1]] or {})
    return re.sub(r"\$\[\[ inputs\.([\w-]+).*? \]\]", lambda match: str(default(inputs[match[1]] or {})), value)


def default(given: dict[str, Any]) -> Any:
    """An input's value when nobody gives one; a variable when that is nothing, which fits where a text does."""
    return given.get("default") or (given.get("default") if given.get("type", "string") != "string" else "$GIVEN")


def found(patterns: list[str]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def main() -> int:
    results = [checked(schema, [str(path) for path in found(patterns)]) for schema, patterns in WHOLE.items()]
    with tempfile.TemporaryDirectory() as scratch:
        names = []
        for path in found(GITLAB):
            for number, document in enumerate(documents(path.read_text()), 1):
                # The name is what a complaint says.
                name = f"{path.relative_to(ROOT)}, document {number}".replace("/", ":")
                (Path(scratch) / name).write_text(json.dumps(document))
                names.append(name)
        results.append(checked("gitlab-ci", names, Path(scratch)))
    return 0 if all(results) else 1


def checked(schema: str, names: list[str], directory: Path = ROOT) -> bool:
    if not names:
        return True
    program = str(Path(sys.executable).parent / "check-jsonschema")
    command = [program, "--default-filetype", "json", "--builtin-schema", f"vendor.{schema}", *names]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
    return done.returncode == 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except yaml.YAMLError as error:
        # yamllint names the file.
        sys.exit(f"A file for GitLab is no YAML: {error}")
