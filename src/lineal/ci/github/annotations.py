"""Annotations of a workflow run: an error that GitHub shows beside the code."""

from __future__ import annotations

from lineal.errors import LinealError
from lineal.text import strip_controls


def annotation(error: LinealError) -> str:
    """The workflow command that shows an error on the run's page and beside its line in the pull request."""
    message = " ".join(part for part in (error.message, error.remedy, f"[{error.id}]") if part)
    place = error.place
    properties = ""
    if place is not None:
        properties = f" file={_property(place.file)}"
        if place.line is not None:
            properties += f",line={place.line}"
        if place.key is not None:
            message = f"{place.key}: {message}"
    return f"::error{properties}::{escape_data(message)}"


def escape_data(text: str) -> str:
    """Lines stay lines, as `%0A`; everything that could act in the log is gone."""
    lines = [strip_controls(line) for line in text.splitlines()]
    return "%0A".join(line.replace("%", "%25") for line in lines)


def _property(text: str) -> str:
    return escape_data(text).replace("%0A", " ").replace(":", "%3A").replace(",", "%2C")
