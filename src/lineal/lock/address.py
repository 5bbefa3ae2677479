"""The values of `lock:` and `--lock`: a kind, and for some kinds the place where the lock is kept."""

from __future__ import annotations

import re

from lineal.value import dataclass

KINDS = ("auto", "file", "git", "kubernetes", "etcd", "none")
_NAMESPACE = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_ENDPOINT = r"https?://([a-zA-Z0-9_.-]+|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?"
PATTERN = rf"^(auto|file|git|none|kubernetes(:{_NAMESPACE})?|etcd:{_ENDPOINT})$"
"""The values of `lock:` as a pattern of JSON Schema."""
_ETCD_PORT = ":2379"


class BadAddress(ValueError):
    """Text that names no lock: `problem` is a sentence without its full stop, `remedy` says what to write."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class LockAddress:
    kind: str
    where: str = ""
    """For etcd the endpoint `https://host:port`, for Kubernetes the namespace or nothing."""


def parse(text: str) -> LockAddress:
    """The lock that the text names. Raises `BadAddress`."""
    kind, _, where = text.partition(":")
    if kind not in KINDS:
        from lineal.text import did_you_mean, quoted

        raise BadAddress(f"There is no lock {quoted(kind)}", did_you_mean(text, KINDS, owner="The locks are"))
    if kind == "etcd":
        return LockAddress(kind, _endpoint(where))
    if kind == "kubernetes" and (where or text == kind):
        if where and not re.fullmatch(_NAMESPACE, where):
            raise BadAddress("The lock's namespace is none that Kubernetes takes", "Write `kubernetes:NAMESPACE`.")
        return LockAddress(kind, where)
    if text != kind:
        raise BadAddress(f"The lock `{kind}` takes nothing behind its name", f"Write `{kind}`.")
    return LockAddress(kind)


def _endpoint(where: str) -> str:
    found = re.fullmatch(_ENDPOINT, where)
    if found is None:
        # The text is not repeated: somebody may have put a password into it.
        raise BadAddress(
            "The lock `etcd` does not say where etcd is",
            "Write `etcd:https://HOST:2379`, and give user and password with LINEAL_ETCD_USERNAME and "
            "LINEAL_ETCD_PASSWORD.",
        )
    return where if found[2] else where + _ETCD_PORT
