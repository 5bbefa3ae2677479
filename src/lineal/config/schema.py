"""The JSON Schema of `lineal.yaml`, made from the classes that the file is validated against."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from lineal.config.model import Project

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(model: type[msgspec.Struct] = Project, *, name: str = "lineal.yaml") -> dict[str, Any]:
    """For `Project`, or for `Giterminism` with its file's name."""
    (references,), parts = msgspec.json.schema_components([model], ref_template="#/$defs/{name}")
    for part in parts.values():
        # Docstrings keep their source's indentation.
        part["description"] = inspect.cleandoc(part["description"])
    return {"$schema": DIALECT, "$id": f"urn:lineal:schema:1:{name}", "title": name, **references, "$defs": parts}
