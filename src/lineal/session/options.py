"""What a run was asked for, before the configuration is known: flags, or `LINEAL_*` where they were not given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from lineal.cli.flags import MOST_DAYS
from lineal.config.setting import DEFAULT, Origin, Setting, resolve
from lineal.errors import BadConfiguration

_TRUE = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class Options:
    """Flags as given; None or empty when not. Lists in the environment have one entry a line."""

    repo: str | None = None
    env: str | None = None
    namespace: str | None = None
    release: str | None = None
    kube_context: str | None = None
    kube_version: str | None = None
    timeout: str | None = None
    report: str | None = None
    dotenv: str | None = None
    template: str | None = None
    bundle_version: str | None = None
    bundle_repo: str | None = None
    lock: str | None = None
    engine_network: str | None = None
    jobs: int | None = None
    keep_days: int | None = None
    dev: bool | None = None
    ignore_uncommitted: bool | None = None
    skip_unchanged: bool | None = None
    diff: bool | None = None
    dry_run: bool | None = None
    values: tuple[str, ...] = ()
    set: tuple[str, ...] = ()
    var: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()
    ssh: tuple[str, ...] = ()
    insecure_registry: tuple[str, ...] = ()
    ignore_ref: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    def text(
        self, name: str, configured: Setting[str] | None = None, default: str = "", source: str = "default"
    ) -> Setting[str]:
        return resolve(
            name, flag=getattr(self, name.replace("-", "_")), environ=self.environ, configured=configured,
            default=default, default_source=source,
        )  # fmt: skip

    def flag(self, name: str, default: bool = False) -> Setting[bool]:
        return resolve(
            name, flag=getattr(self, name.replace("-", "_")), environ=self.environ, default=default, parse=_boolean
        )

    def summary(self) -> bool:
        """Whether GitHub's job summary is written; only a variable says no."""
        text = self.environ.get("LINEAL_SUMMARY", "").lower()
        if text and text not in _TRUE:
            what = "The environment variable LINEAL_SUMMARY is neither true nor false."
            raise BadConfiguration(what, remedy="Set it to false, or remove it.")
        return _TRUE.get(text, True)

    def many(self, name: str) -> list[str]:
        """The entries of a flag that may be repeated."""
        given: tuple[str, ...] = getattr(self, name.replace("-", "_"))
        if given:
            return list(given)
        text = self.environ.get("LINEAL_" + name.upper().replace("-", "_"), "")
        return [line.strip() for line in text.splitlines() if line.strip()]

    def listed(self, name: str) -> Setting[list[str]]:
        """The same with its origin, for people: what may be secret (`--set`, `--var`) is shown without its value."""
        given = bool(getattr(self, name.replace("-", "_")))
        entries = self.many(name)
        if name in ("set", "var"):
            entries = [entry.partition("=")[0] + "=…" for entry in entries]
        variable = "LINEAL_" + name.upper().replace("-", "_")
        return Setting(entries, Origin(f"--{name}") if given else Origin(variable) if entries else DEFAULT)

    def job_count(self) -> Setting[int]:
        return resolve("jobs", flag=self.jobs, environ=self.environ, default=4, parse=_positive)

    def days_kept(self, configured: Setting[int]) -> Setting[int]:
        return resolve("keep-days", flag=self.keep_days, environ=self.environ, configured=configured,
                       default=configured.value, parse=_days)  # fmt: skip

    def variables(self) -> dict[str, str]:
        """`--var name=value` as a mapping."""
        pairs = {}
        for number, text in enumerate(self.many("var"), 1):
            name, separator, value = text.partition("=")
            if not separator or not name:
                # It may be a part of a secret of several lines.
                what = f"--var (or line of LINEAL_VAR) number {number} is not NAME=VALUE."
                raise BadConfiguration(what, remedy="Write each as NAME=VALUE, on one line.")
            pairs[name] = value
        return pairs


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE:
        raise ValueError("it must be true or false")
    return _TRUE[text.lower()]


def _days(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) > MOST_DAYS:
        raise ValueError(f"it must be a whole number from 0 to {MOST_DAYS}")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError("it must be a whole number of 1 or more")
    return int(text)
