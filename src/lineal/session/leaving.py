"""What leaves a run for people, with its secrets masked: lines, errors, the report and all that is made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from lineal.ci.provider import provider_of
from lineal.errors import LinealError
from lineal.git.login import secret_values
from lineal.progress import Progress
from lineal.store.open import REGISTRY_LOGIN
from lineal.trust.keys import PASSWORD, SIGNING_KEY, TOKENS, is_pem
from lineal.trust.mark import TRUST_KEY

if TYPE_CHECKING:
    from lineal.report.model import Report

MaskText = Callable[[str], str]
_WORDS = frozenset({"message", "remedy", "key", "instruction", "reason", "output", "told", "log", "diff"})
"""The fields of a report that hold words. Names and digests are for machines, and hold no secret."""


def secrets_of_job(environ: Mapping[str, str]) -> list[str]:
    """The values of all variables that hold a secret, whether or not the run uses them."""
    passwords = [login.password for login in provider_of(environ).logins().values()]
    keys = [*environ.get(TRUST_KEY, "").split(), environ.get(PASSWORD, "")]
    keys += [key for key in [environ.get(SIGNING_KEY, "")] if is_pem(key)]
    keys += [*secret_values(environ), *(environ.get(name, "") for name in TOKENS)]
    return [*passwords, *keys, environ.get(REGISTRY_LOGIN[1], "")]


class MaskedProgress(Progress):
    def __init__(self, inner: Progress, mask: MaskText) -> None:
        self._inner, self._mask = inner, mask

    def note(self, text: str) -> None:
        self._inner.note(self._mask(text))

    def warn(self, text: str) -> None:
        self._inner.warn(self._mask(text))

    def begin(self, stage: str) -> None:
        self._inner.begin(self._mask(stage))

    def output(self, stage: str, line: str) -> None:
        self._inner.output(self._mask(stage), self._mask(line))

    def end(self, stage: str, outcome: str, seconds: float, detail: str = "") -> None:
        self._inner.end(self._mask(stage), outcome, seconds, self._mask(detail))

    def close(self) -> None:
        self._inner.close()


def mask_error(error: BaseException | None, mask: MaskText) -> None:
    """In an error, what was found with it, and what it comes of: a traceback shows all of them."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.args = tuple(mask(part) if isinstance(part, str) else part for part in error.args)
        for one in error.every() if isinstance(error, LinealError) else ():
            one.message = mask(one.message)
            one.remedy = None if one.remedy is None else mask(one.remedy)
            one.args = (one.message,)
        error = error.__cause__ or error.__context__


def mask_report(report: Report, mask: MaskText) -> Report:
    found = _masked(msgspec.to_builtins(report), mask, words=False)
    return msgspec.convert(found, type(report))


def _masked(value: Any, mask: MaskText, *, words: bool) -> Any:
    if isinstance(value, dict):
        return {name: _masked(one, mask, words=name in _WORDS) for name, one in value.items()}
    if isinstance(value, list):
        return [_masked(one, mask, words=words) for one in value]
    return mask(value) if words and isinstance(value, str) else value
