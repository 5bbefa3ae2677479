"""Metadata instructions applied to an image config (the OCI image spec's `config`, with Docker's additions)."""

from __future__ import annotations

import posixpath
import re
import signal
from collections.abc import Callable
from typing import Any

from lineal.dockerfile.instructions import Meta
from lineal.dockerfile.scope import DEFAULT_SHELL, Word
from lineal.errors import BadConfiguration

Finish = Callable[[Word], str]
_PORT = re.compile(r"^(\d+)(?:-(\d+))?(?:/(tcp|udp|sctp))?$", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_NAMES = "|".join(name.removeprefix("SIG") for name in signal.Signals.__members__)
_SIGNAL = re.compile(rf"[1-9]|[1-5]\d|6[0-4]|(?:SIG)?(?:{_NAMES}|RTMIN\+\d+|RTMAX-\d+)", re.IGNORECASE | re.ASCII)
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def environment(config: dict[str, Any]) -> dict[str, str]:
    """The `Env` of an image config as a mapping."""
    return dict(entry.partition("=")[::2] for entry in config.get("Env") or [])


def apply(document: dict[str, Any], meta: Meta, finish: Finish) -> None:
    """Change an image config in place as `docker build` would. `finish` gives a word's final text."""
    words = [finish(word) for word in meta.words]
    if meta.name == "MAINTAINER":
        document["author"] = words[0]
    else:
        _APPLY[meta.name](document.setdefault("config", {}), meta, words)


def resolve_directory(config: dict[str, Any], path: str) -> str:
    """An absolute, clean path, relative ones taken from the working directory."""
    return posixpath.normpath(posixpath.join("/", config.get("WorkingDir") or "/", path)).replace("//", "/")


def shell(config: dict[str, Any]) -> list[str]:
    return list(config.get("Shell") or DEFAULT_SHELL)


def _env(config: dict[str, Any], _meta: Meta, words: list[str]) -> None:
    values = environment(config)
    values.update(zip(words[0::2], words[1::2], strict=True))
    config["Env"] = [f"{name}={value}" for name, value in values.items()]


def _label(config: dict[str, Any], _meta: Meta, words: list[str]) -> None:
    config["Labels"] = {**(config.get("Labels") or {}), **dict(zip(words[0::2], words[1::2], strict=True))}


def _workdir(config: dict[str, Any], _meta: Meta, words: list[str]) -> None:
    config["WorkingDir"] = resolve_directory(config, words[0])


def _user(config: dict[str, Any], _meta: Meta, words: list[str]) -> None:
    config["User"] = words[0]


def _expose(config: dict[str, Any], meta: Meta, words: list[str]) -> None:
    ports = dict(config.get("ExposedPorts") or {})
    for word in " ".join(words).split():
        match = _PORT.match(word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if match is None or not 0 < first <= last <= 65535:
            raise BadConfiguration(f"EXPOSE {word} is not a port.", place=meta.place, remedy="Use 8080 or 53/udp.")
        for port in range(first, last + 1):
            ports[f"{port}/{(match[3] or 'tcp').lower()}"] = {}
    config["ExposedPorts"] = ports


def _volume(config: dict[str, Any], meta: Meta, words: list[str]) -> None:
    if any(not word.strip() for word in words):
        raise BadConfiguration("VOLUME with an empty path.", place=meta.place, remedy="Name a directory.")
    config["Volumes"] = {**(config.get("Volumes") or {}), **{word.strip(): {} for word in words}}


def _stop_signal(config: dict[str, Any], meta: Meta, words: list[str]) -> None:
    if _SIGNAL.fullmatch(words[0]) is None:
        raise BadConfiguration(f"STOPSIGNAL {words[0]} is not a signal.", place=meta.place,
                               remedy="Use a name such as SIGTERM, or a number.")  # fmt: skip
    config["StopSignal"] = words[0]


def _command_line(config: dict[str, Any], meta: Meta, words: list[str]) -> list[str]:
    return words if meta.json else [*shell(config), *(words or [""])]


def _cmd(config: dict[str, Any], meta: Meta, words: list[str]) -> None:
    config["Cmd"] = _command_line(config, meta, words) or None


def _entrypoint(config: dict[str, Any], meta: Meta, words: list[str]) -> None:
    config["Entrypoint"] = _command_line(config, meta, words) or None
    if ("reset-cmd", "true") in meta.flags:
        # A base's CMD belonged to the base's ENTRYPOINT (Dockerfile reference, ENTRYPOINT).
        config.pop("Cmd", None)


def _shell(config: dict[str, Any], _meta: Meta, words: list[str]) -> None:
    config["Shell"] = words


def _healthcheck(config: dict[str, Any], meta: Meta, words: list[str]) -> None:
    if words[0] == "NONE":
        config["Healthcheck"] = {"Test": ["NONE"]}
        return
    check: dict[str, Any] = {"Test": ["CMD", *words[1:]] if meta.json else ["CMD-SHELL", *words[1:]]}
    names = {"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod",
             "start-interval": "StartInterval"}  # fmt: skip
    for flag, value in meta.flags:
        check[names.get(flag, "Retries")] = _retries(value, meta) if flag == "retries" else _nanoseconds(value, meta)
    config["Healthcheck"] = check


def _retries(text: str, meta: Meta) -> int:
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", text, re.ASCII):
        raise BadConfiguration(f"--retries={text} is not a number from 1 on.", place=meta.place)
    return int(text)


def _nanoseconds(text: str, meta: Meta) -> int:
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise BadConfiguration(f"{text!r} is not a duration.", place=meta.place, remedy="Write it as 30s or 1m30s.")
    duration = round(sum(float(number) * _NANOSECONDS[unit] for number, unit in parts))
    if duration < _NANOSECONDS["ms"]:
        raise BadConfiguration(f"{text!r} is less than the 1ms that Docker takes.", place=meta.place)
    return duration


def _onbuild(config: dict[str, Any], _meta: Meta, words: list[str]) -> None:
    config["OnBuild"] = [*(config.get("OnBuild") or []), words[0]]


_APPLY: dict[str, Callable[[dict[str, Any], Meta, list[str]], None]] = {
    "ENV": _env, "LABEL": _label, "WORKDIR": _workdir, "USER": _user, "EXPOSE": _expose, "VOLUME": _volume,
    "STOPSIGNAL": _stop_signal, "CMD": _cmd, "ENTRYPOINT": _entrypoint, "SHELL": _shell,
    "HEALTHCHECK": _healthcheck, "ONBUILD": _onbuild,
}  # fmt: skip
