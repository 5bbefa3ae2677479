"""`RUN --mount=...`: its options as a value."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import Any, Literal

from lineal.config.run_options import bytes_of
from lineal.context.tree import owner_id
from lineal.dockerfile.scope import Deferred, Word, canonical_word
from lineal.value import dataclass

Expand = Callable[[str], Word]
"""Expands the variables of a word; the result may wait for the base image."""


@dataclass(frozen=True, slots=True)
class RunMount:
    """`RUN --mount=...`; which fields matter depends on `type`. Refers to the context when `source_stage` is None."""

    type: Literal["bind", "cache", "secret", "ssh", "tmpfs"]
    target: Word
    """Empty: the working directory, or for `ssh` a socket of Lineal's choice."""
    id: str = ""
    """Name of a cache, secret or SSH agent. A cache without a name has its target's."""
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
    readonly: bool = False
    """For a cache or a tmpfs, which are otherwise writable."""
    open: tuple[tuple[str, Word], ...] = ()
    """All options of a mount some of which, beside the target, wait for the base image: see `finished`."""

    def canonical(self) -> dict[str, Any]:
        # A target's name is no input: what it stands for is entered as its checksum.
        fields = {name: getattr(self, name) for name in self.__slots__ if name != "source_stage"}
        if not self.readonly:
            # It came later than the first checksums.
            del fields["readonly"]
        del fields["open"]
        options = {"open": [[name, canonical_word(value)] for name, value in self.open]} if self.open else {}
        return {**fields, "target": canonical_word(self.target), **options}

    def finished(self, finish: Callable[[Word], str]) -> RunMount:
        """The mount once every option but the target is known. Raises ValueError for what is wrong then."""
        if not self.open:
            return self
        return _KINDS[self.type]({name: value if name == "target" else finish(value) for name, value in self.open})

    @property
    def has_files(self) -> bool:
        """Whether the mount shows files of the context or of another stage."""
        return self.type == "bind" or self.source_stage is not None


def parse_mount(text: str, expand: Expand, in_context: Callable[[str], str]) -> RunMount:
    """The mount that `type=...,target=...` describes; `in_context` expands a path in the context. Raises ValueError
    for what is wrong or not supported, beginning with the option."""
    import csv

    try:
        return _parse(text, expand, in_context)
    except (ValueError, csv.Error, StopIteration) as error:
        reason = str(error) or "it cannot be read"
        raise ValueError(reason if reason.startswith("type=") else f"{text}: {reason}") from None


def literal(source: str) -> str:
    """A mount's source is a path and no pattern: the part of it that reads the same as a pattern."""
    parts = source.split("/")
    fixed = next((number for number, part in enumerate(parts) if re.search(r"[*?\[\\]", part)), len(parts))
    return "/".join(parts[:fixed]) or "/"


def _parse(text: str, expand: Expand, in_context: Callable[[str], str]) -> RunMount:
    import csv

    # The type may stand behind options of its own.
    options = dict(_option(part) for part in next(csv.reader([text], strict=True)) if part)
    if re.search(r"\$.", options.get("from", "")):
        raise ValueError("from does not expand variables: define a target with `FROM ${NAME} AS name`")
    written = options.pop("type", "bind")
    kind = expand(written)
    if isinstance(kind, Deferred):
        raise ValueError(f"type={written} has a variable that only the base image may define")
    kind = kind.lower()
    if kind not in _OPTIONS:
        raise ValueError(f"type={kind} is not known, only {', '.join(sorted(_OPTIONS))}")
    unknown = sorted(set(options) - _OPTIONS[kind])
    if unknown:
        known = ", ".join(sorted(_OPTIONS[kind]))
        raise ValueError(f"type={kind} has no option {unknown[0]!r}, only {known}")
    from_context = kind == "bind" and not options.get("from")
    values: dict[str, Any] = {
        name: in_context(value) if name == "source" and from_context else expand(value)
        for name, value in options.items()
    }
    target = values.get("target", "")
    if isinstance(target, str) and _clean(target) == "/":
        raise ValueError("its target is the root directory")
    if any(isinstance(value, Deferred) for name, value in values.items() if name != "target"):
        source = values.get("source", "")
        literal_kind: Any = kind
        return RunMount(
            literal_kind,
            target,
            source=source if isinstance(source, str) else "",
            source_stage=values.get("from") or None,
            open=tuple(values.items()),
        )
    return _KINDS[kind](values)


_NAMES = {"src": "source", "dst": "target", "destination": "target", "readwrite": "rw", "readonly": "ro"}
_OPTIONS = {
    "bind": {"target", "source", "from", "rw", "ro"},
    "cache": {"target", "id", "sharing", "mode", "uid", "gid", "from", "source", "rw", "ro"},
    "secret": {"target", "id", "source", "required", "mode", "uid", "gid", "env"},
    "ssh": {"target", "id", "required", "mode", "uid", "gid"},
    "tmpfs": {"target", "size", "rw", "ro"},
}


def _option(part: str) -> tuple[str, str]:
    name, separator, value = part.partition("=")
    name = _NAMES.get(name.lower(), name.lower())
    if not separator:
        if name not in ("rw", "ro", "required"):
            raise ValueError(f"{part!r} needs a value")
        value = "true"
    return name, value


def _bind(values: dict[str, Any]) -> RunMount:
    return RunMount("bind", values.get("target", ""), source=values.get("source", ""),
                    source_stage=values.get("from") or None, writable=_writable(values, False))  # fmt: skip


def _cache(values: dict[str, Any]) -> RunMount:
    sharing = values.get("sharing", "shared").lower()
    if sharing not in ("shared", "private", "locked"):
        raise ValueError(f"sharing={sharing} is not shared, private or locked")
    target, source = values.get("target", ""), values.get("source", "")
    stage = values.get("from") or None
    whole = posixpath.normpath(f"/{source}").strip("/") == ""
    if stage is None and not whole:
        raise ValueError(f"source={source} needs from=, the target or image that it is in")
    if stage is not None and whole and {"mode", "uid", "gid"} & values.keys():
        # BuildKit then makes an empty directory with this owner inside of the other image.
        stage = None
    name = values.get("id") or (_clean(target) if isinstance(target, str) else "")
    return RunMount("cache", target, id=name, source="" if whole else source, source_stage=stage, sharing=sharing,
                    mode=_mode(values), uid=_number(values, "uid"), gid=_number(values, "gid"),
                    readonly=not _writable(values, True))  # fmt: skip


def _secret(values: dict[str, Any]) -> RunMount:
    target = values.get("target", "")
    if {"id", "source"} <= values.keys():
        raise ValueError("a secret has an id or a source, which mean the same")
    name = values.get("id") or values.get("source") or ""
    if not name and not isinstance(target, str):
        raise ValueError("a secret whose target only the base image knows needs an id")
    name = name or _base(target)
    if not name:
        raise ValueError("a secret needs an id or a target")
    variable = values.get("env")
    if variable is not None and not re.fullmatch(r"[^=\0]+", variable):
        raise ValueError("env needs the name of a variable")
    if target == "" and variable is None:
        target = f"/run/secrets/{_base(name)}"
    return RunMount("secret", target, id=name, required=_true(values, "required"), mode=_mode(values),
                    uid=_number(values, "uid"), gid=_number(values, "gid"), variable=variable)  # fmt: skip


def _ssh(values: dict[str, Any]) -> RunMount:
    return RunMount("ssh", values.get("target", ""), id=values.get("id") or "default",
                    required=_true(values, "required"), mode=_mode(values),
                    uid=_number(values, "uid"), gid=_number(values, "gid"))  # fmt: skip


def _tmpfs(values: dict[str, Any]) -> RunMount:
    return RunMount("tmpfs", values.get("target", ""), size=_bytes(values.get("size", "")) or None,
                    readonly=not _writable(values, True))  # fmt: skip


_KINDS = {"bind": _bind, "cache": _cache, "secret": _secret, "ssh": _ssh, "tmpfs": _tmpfs}


def _true(values: dict[str, Any], name: str) -> bool:
    """As Go reads a boolean."""
    text = values.get(name, "false")
    if text not in ("1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False"):
        raise ValueError(f"{name}={text} is neither true nor false")
    return text[0] in "1tT"


def _writable(values: dict[str, Any], default: bool) -> bool:
    """Whether the mount is writable: the last of `rw` and `ro` decides, and options keep their order."""
    for name in reversed(values):
        if name in ("rw", "ro"):
            return _true(values, name) == (name == "rw")
    return default


def _number(values: dict[str, Any], name: str) -> int:
    text = values.get(name, "0")
    if not re.fullmatch(r"[0-9]{1,10}", text, re.ASCII):
        raise ValueError(f"{name}={text} is not a number")
    try:
        return owner_id(int(text))
    except ValueError as error:
        raise ValueError(f"{name}={text}: {error}") from error


def _mode(values: dict[str, Any]) -> int | None:
    text = values.get("mode")
    if text is None:
        return None
    if not re.fullmatch(r"[0-7]{1,11}", text, re.ASCII):
        raise ValueError(f"mode={text} is not an octal mode such as 0755")
    # BuildKit keeps the permission bits alone.
    return int(text, 8) & 0o777


def _bytes(text: str) -> int:
    try:
        return bytes_of(text) if text else 0
    except ValueError as error:
        raise ValueError(f"size={error}") from None


def _clean(path: str) -> str:
    """Go's `path.Clean`, for a path that may be empty."""
    return re.sub(r"^//", "/", posixpath.normpath(path)) if path else "."


def _base(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
