"""Metadata instructions applied to an image config (the OCI image spec's `config`, with Docker's additions)."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Callable
from typing import Any

from lineal.dockerfile.instructions import MetadataInstruction
from lineal.dockerfile.scope import DEFAULT_SHELL, Word
from lineal.errors import BadConfiguration
from lineal.oci.types import ContainerConfig, ImageConfig
from lineal.regex import regex

Finish = Callable[[Word], str]
_PORTS = regex(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)
_PROTOCOLS = ("tcp", "udp", "sctp")
_DURATION = regex(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
# moby's table: the names of Linux, whatever system this runs on.
_SIGNAL = regex(
    r"(?:SIG)?(?:ABRT|ALRM|BUS|CHLD|CLD|CONT|FPE|HUP|ILL|INT|IOT?|KILL|PIPE|POLL|PROF|PWR|QUIT|SEGV|STKFLT|STOP|SYS|TERM|"
    r"TRAP|TSTP|TTIN|TTOU|URG|USR1|USR2|VTALRM|WINCH|XCPU|XFSZ|RTMIN(?:\+(?:[1-9]|1[0-5]))?|RTMAX(?:-(?:[1-9]|1[0-4]))?)",
    re.IGNORECASE | re.ASCII,
)
_LONGEST = float(2**63 - 1)
"""Nanoseconds that a duration of Go can have."""
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}


def environment(config: ContainerConfig) -> dict[str, str]:
    """The `Env` of an image config as a mapping."""
    return dict(entry.partition("=")[::2] for entry in config.get("Env") or [])


def apply(document: ImageConfig, meta: MetadataInstruction, finish: Finish) -> None:
    """Change an image config in place as `docker build` would. `finish` gives a word's final text."""
    words = [finish(word) for word in meta.words]
    if meta.name == "MAINTAINER":
        document["author"] = words[0]
    else:
        _APPLY[meta.name](document.setdefault("config", {}), meta, words)


def resolve_directory(config: ContainerConfig, path: str) -> str:
    """An absolute, clean path, relative ones taken from the working directory."""
    return posixpath.normpath(posixpath.join("/", config.get("WorkingDir") or "/", path)).replace("//", "/")


def working_directory(config: ContainerConfig, path: str) -> str:
    """The working directory after a `WORKDIR`. BuildKit leaves an absolute path as it is written."""
    if path.startswith("/"):
        return path
    return resolve_directory(config, path) if path else config.get("WorkingDir") or "/"


def shell(config: ContainerConfig) -> list[str]:
    return list(config.get("Shell") or DEFAULT_SHELL)


def _env(config: ContainerConfig, _meta: MetadataInstruction, words: list[str]) -> None:
    values = environment(config)
    values.update(zip(words[0::2], words[1::2], strict=True))
    config["Env"] = [f"{name}={value}" for name, value in values.items()]


def _label(config: ContainerConfig, _meta: MetadataInstruction, words: list[str]) -> None:
    config["Labels"] = {**(config.get("Labels") or {}), **dict(zip(words[0::2], words[1::2], strict=True))}


def _workdir(config: ContainerConfig, _meta: MetadataInstruction, words: list[str]) -> None:
    config["WorkingDir"] = working_directory(config, words[0])


def _user(config: ContainerConfig, _meta: MetadataInstruction, words: list[str]) -> None:
    config["User"] = words[0]
    if not words[0]:
        del config["User"]


def _expose(config: ContainerConfig, meta: MetadataInstruction, words: list[str]) -> None:
    ports = dict(config.get("ExposedPorts") or {})
    for word in " ".join(words).split():
        try:
            ports |= {port: {} for port in _exposed(word)}
        except ValueError:
            raise BadConfiguration(
                f"EXPOSE {word} is not a port.", id="LN-2002", place=meta.place, remedy="Use 8080 or 53/udp."
            ) from None
    if ports:
        config["ExposedPorts"] = ports


def _exposed(word: str) -> list[str]:
    """The ports of `[[IP:]HOST:]PORT[-LAST][/PROTOCOL]`; BuildKit checks address and host port and forgets them."""
    rest, _, container = word.rpartition(":")
    address, _, host = rest.rpartition(":")
    container, _, protocol = container.partition("/")
    protocol = protocol.lower() or "tcp"
    if address:
        ipaddress.ip_address(address[1:-1] if address[0] == "[" and address[-1] == "]" else address)
    if protocol not in _PROTOCOLS:
        raise ValueError(protocol)
    first, last = _range(container)
    if host:
        start, end = _range(host)
        if end - start != last - first and last != first:
            raise ValueError(host)
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def _range(text: str) -> tuple[int, int]:
    match = _PORTS.fullmatch(text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if not first <= last <= 65535:
        raise ValueError(text)
    return first, last


def _volume(config: ContainerConfig, meta: MetadataInstruction, words: list[str]) -> None:
    if "" in words:
        raise BadConfiguration(
            "VOLUME with an empty path.", id="LN-2002", place=meta.place, remedy="Name a directory."
        )
    config["Volumes"] = {**(config.get("Volumes") or {}), **{word: {} for word in words}}


def _stop_signal(config: ContainerConfig, meta: MetadataInstruction, words: list[str]) -> None:
    number = re.fullmatch(r"[+-]?[0-9]{1,18}", words[0], re.ASCII)
    if int(words[0]) == 0 if number else not _SIGNAL.fullmatch(words[0]):
        raise BadConfiguration(f"STOPSIGNAL {words[0]} is not a signal.", id="LN-2002", place=meta.place,
                               remedy="Use a name such as SIGTERM, or a number.")  # fmt: skip
    config["StopSignal"] = words[0]


def _command_line(config: ContainerConfig, meta: MetadataInstruction, words: list[str]) -> list[str]:
    return words if meta.json else [*shell(config), *(words or [""])]


def _cmd(config: ContainerConfig, meta: MetadataInstruction, words: list[str]) -> None:
    config["Cmd"] = _command_line(config, meta, words) or None
    # BuildKit says so of every CMD; only Windows reads it.
    config["ArgsEscaped"] = True


def _entrypoint(config: ContainerConfig, meta: MetadataInstruction, words: list[str]) -> None:
    config["Entrypoint"] = _command_line(config, meta, words) or None
    if ("reset-cmd", "true") in meta.flags:
        # A base's CMD belonged to the base's ENTRYPOINT (Dockerfile reference, ENTRYPOINT).
        config.pop("Cmd", None)


def _shell(config: ContainerConfig, _meta: MetadataInstruction, words: list[str]) -> None:
    config["Shell"] = words


def _healthcheck(config: ContainerConfig, meta: MetadataInstruction, words: list[str]) -> None:
    if words[0] == "NONE":
        config["Healthcheck"] = {"Test": ["NONE"]}
        return
    check: dict[str, Any] = {"Test": ["CMD", *words[1:]] if meta.json else ["CMD-SHELL", *words[1:]]}
    names = {"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod",
             "start-interval": "StartInterval"}  # fmt: skip
    for flag, value in meta.flags:
        number = _retries(value, meta) if flag == "retries" else _nanoseconds(value, meta)
        if number:
            check[names.get(flag, "Retries")] = number
    config["Healthcheck"] = check


def _retries(text: str, meta: MetadataInstruction) -> int:
    if text and not re.fullmatch(r"\+?[0-9]{1,9}", text, re.ASCII):
        raise BadConfiguration(
            f"--retries={text} is not a number.", id="LN-2002", place=meta.place, remedy="Use 0 or more."
        )
    return int(text or 0)


def _nanoseconds(text: str, meta: MetadataInstruction) -> int:
    """A duration as Go writes it, in nanoseconds. 0 and the empty text mean Docker's default."""
    parts = _DURATION.findall(text)
    written = text.removeprefix("+")
    duration = sum(float(number) * _NANOSECONDS[unit] for number, unit in parts)
    is_known = written in ("", "0", "-0") or "".join(number + unit for number, unit in parts) == written
    if not is_known or duration > _LONGEST:
        raise BadConfiguration(
            f"{text!r} is not a duration.", id="LN-2002", place=meta.place, remedy="Write it as 30s or 1m30s."
        )
    if 0 < round(duration) < _NANOSECONDS["ms"]:
        raise BadConfiguration(f"{text!r} is less than the 1ms that Docker takes.", id="LN-2002", place=meta.place)
    return round(duration)


def _onbuild(config: ContainerConfig, _meta: MetadataInstruction, words: list[str]) -> None:
    """An ONBUILD without words clears the list: those of the base have run, and images on top do not run them."""
    if words:
        config["OnBuild"] = [*(config.get("OnBuild") or []), words[0]]
    else:
        config.pop("OnBuild", None)


_APPLY: dict[str, Callable[[ContainerConfig, MetadataInstruction, list[str]], None]] = {
    "ENV": _env, "LABEL": _label, "WORKDIR": _workdir, "USER": _user, "EXPOSE": _expose, "VOLUME": _volume,
    "STOPSIGNAL": _stop_signal, "CMD": _cmd, "ENTRYPOINT": _entrypoint, "SHELL": _shell,
    "HEALTHCHECK": _healthcheck, "ONBUILD": _onbuild,
}  # fmt: skip
