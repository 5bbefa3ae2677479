"""`RUN --mount=...`: its options as a value."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from lineal.dockerfile.scope import Word, canonical_word


@dataclass(frozen=True, slots=True)
class RunMount:
    """`RUN --mount=...`; which fields matter depends on `type`. Refers to the context when `source_stage` is None."""

    type: Literal["bind", "cache", "secret", "tmpfs"]
    target: Word
    id: str = ""
    source: str = ""
    source_stage: str | None = None
    writable: bool = False
    sharing: str = "shared"
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    size: int | None = None
    required: bool = False
    variable: str | None = None
    """`env=`: the secret is seen as this environment variable."""

    def canonical(self) -> dict[str, Any]:
        # A target's name is no input: what it stands for is entered as its checksum.
        return {name: canonical_word(getattr(self, name)) for name in self.__slots__ if name != "source_stage"}


def parse_mount(text: str, late: Callable[[str], Word], early: Callable[[str], str]) -> RunMount:
    """The mount that `type=...,target=...` describes. `late` expands words that may wait for the base image, `early`
    those that may not. Raises ValueError for what is wrong or not supported, beginning with the option."""
    try:
        return _parse(text, late, early)
    except (ValueError, csv.Error, StopIteration) as error:
        reason = str(error) or "it cannot be read"
        raise ValueError(reason if reason.startswith("type=") else f"{text}: {reason}") from None
    except KeyError as missing:
        raise ValueError(f"{text}: {missing.args[0]} is missing") from None


def _parse(text: str, late: Callable[[str], Word], early: Callable[[str], str]) -> RunMount:
    options = dict(_option(part) for part in next(csv.reader([text], strict=True)) if part)
    kind = options.pop("type", "bind")
    if kind not in _OPTIONS:
        raise ValueError(f"type={kind} is not supported by Lineal yet, only {', '.join(sorted(_OPTIONS))}")
    unknown = sorted(set(options) - _OPTIONS[kind])
    if unknown:
        known = ", ".join(sorted(_OPTIONS[kind]))
        raise ValueError(f"type={kind} has no option {unknown[0]!r} that Lineal supports, only {known}")
    return _KINDS[kind](options, late, early)


def _option(part: str) -> tuple[str, str]:
    name, separator, value = part.partition("=")
    name = {"src": "source", "dst": "target", "destination": "target", "readwrite": "rw", "readonly": "ro"}.get(
        name.lower(), name.lower()
    )
    if not separator:
        if name not in ("rw", "ro", "required"):
            raise ValueError(f"{part!r} needs a value")
        value = "true"
    return name, value


_OPTIONS = {
    "bind": {"target", "source", "from", "rw", "ro"},
    "cache": {"target", "id", "sharing", "mode", "uid", "gid", "ro"},
    "secret": {"target", "id", "required", "mode", "uid", "gid", "env"},
    "tmpfs": {"target", "size"},
}


def _true(options: dict[str, str], name: str) -> bool:
    text = options.get(name, "false").lower()
    if text not in ("true", "false", "1", "0"):
        raise ValueError(f"{name}={text} is neither true nor false")
    return text in ("true", "1")


def _integer(options: dict[str, str], name: str, default: int = 0) -> int:
    return int(options[name]) if name in options else default


def _mode(options: dict[str, str]) -> int | None:
    return int(options["mode"], 8) if "mode" in options else None


def _bind(options: dict[str, str], late: Callable[[str], Word], early: Callable[[str], str]) -> RunMount:
    return RunMount("bind", late(options["target"]), source=early(options.get("source", "")),
                    source_stage=options.get("from"), writable=_true(options, "rw"))  # fmt: skip


def _cache(options: dict[str, str], late: Callable[[str], Word], early: Callable[[str], str]) -> RunMount:
    sharing = options.get("sharing", "shared")
    if sharing not in ("shared", "private", "locked"):
        raise ValueError(f"sharing={sharing} is not shared, private or locked")
    if _true(options, "ro"):
        raise ValueError("a read-only cache is not supported by Lineal yet")
    target = late(options["target"])
    name = early(options["id"]) if "id" in options else (target if isinstance(target, str) else target.raw)
    return RunMount("cache", target, id=name, sharing=sharing, mode=_mode(options),
                    uid=_integer(options, "uid"), gid=_integer(options, "gid"))  # fmt: skip


def _secret(options: dict[str, str], late: Callable[[str], Word], early: Callable[[str], str]) -> RunMount:
    target = options.get("target")
    if target is None and "id" not in options:
        raise ValueError("a secret needs an id or a target")
    name = early(options["id"]) if "id" in options else str(target).rsplit("/", 1)[-1]
    variable = options.get("env")
    place: Word = late(target) if target else ("" if variable else f"/run/secrets/{name}")
    if isinstance(place, str) and place and not place.startswith("/"):
        place = f"/run/secrets/{place}"
    return RunMount("secret", place, id=name, required=_true(options, "required"), mode=_mode(options),
                    uid=_integer(options, "uid"), gid=_integer(options, "gid"), variable=variable)  # fmt: skip


def _tmpfs(options: dict[str, str], late: Callable[[str], Word], _early: Callable[[str], str]) -> RunMount:
    return RunMount("tmpfs", late(options["target"]), size=_integer(options, "size") or None)


_KINDS = {"bind": _bind, "cache": _cache, "secret": _secret, "tmpfs": _tmpfs}
