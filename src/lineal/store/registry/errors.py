"""Failures of a registry as errors that people can act on: one sentence, a remedy, and no secret."""

from __future__ import annotations

from collections.abc import Iterator

from lineal.errors import BadConfiguration, LinealError, Unreachable
from lineal.oci.reference import DOCKER_HUB_HOSTS
from lineal.store.registry.response import PASSING, Response, codes
from lineal.store.registry.tries import LONGEST_PAUSE


class ConnectionFailed(Unreachable):
    """The connection failed; the same request may succeed when it is sent again."""


def connection_error(host: str, error: BaseException) -> Unreachable:
    """The error for an exception while talking to `host`. Its text, which may hold a signed URL or a proxy's
    password, is not repeated."""
    chain = list(_chain(error))
    text = " ".join(type(link).__name__ for link in chain)
    if "SSL" in text:
        return _tls(host, chain)
    if "ProxyError" in text:
        return ConnectionFailed(
            f"The proxy to {host} cannot be used.", id="LN-4008", remedy="Check HTTPS_PROXY and NO_PROXY."
        )
    if "Invalid" in text:
        return Unreachable(
            f"{host} answers with an address that makes no sense.", id="LN-4008", remedy="Check the store's address."
        )
    if "gaierror" in text:
        return ConnectionFailed(
            f"{host} cannot be reached: its name is not known.", id="LN-4008", remedy="Check the address for a typo."
        )
    reason = "it does not answer in time" if "Timeout" in text else "the connection broke"
    for link in chain:
        if isinstance(link, OSError) and link.strerror and link.errno:
            reason = link.strerror.lower()
    return ConnectionFailed(
        f"{host} cannot be reached: {reason}.",
        id="LN-4008",
        remedy="Check that it is up and that its address is right.",
    )


def _tls(host: str, chain: list[BaseException]) -> Unreachable:
    if any("WRONG_VERSION_NUMBER" in str(link) or "wrong version number" in str(link) for link in chain):
        return Unreachable(
            f"{host} does not speak https.",
            id="LN-4009",
            remedy=f"If it is meant to be used without encryption, give --insecure-registry {host}.",
        )
    if any("CERTIFICATE_VERIFY_FAILED" in str(link) for link in chain):
        return Unreachable(
            f"The certificate of {host} is not trusted.",
            id="LN-4009",
            remedy=f"Put its authority into /etc/docker/certs.d/{host}/ca.crt, or name it with SSL_CERT_FILE.",
        )
    return ConnectionFailed(
        f"No encrypted connection to {host} could be made.",
        id="LN-4009",
        remedy="Check its certificate and its address.",
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and what it was raised for, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def refused(host: str, repository: str, answer: Response, doing: str, again: float = 0.0) -> LinealError:
    """The error for an unexpected answer, not for one that denies, while `doing` ("read", "write" or "delete").
    `again`: after how many seconds the registry wants to be asked again, if it says so."""
    status, (code, message) = answer.status, codes(answer.body)
    said = f" and says: {message!r}" if message else ""
    if "NAME_INVALID" in code:
        return BadConfiguration(
            f"{host} does not accept the repository name {repository!r}{said}.",
            id="LN-4011",
            remedy="Choose another store address.",
        )
    if status == 404 and doing == "write":
        return Unreachable(
            f"{host} does not know the repository {repository}{said}.",
            id="LN-4012",
            remedy="Create it there, or check the address.",
        )
    if status == 413:
        return Unreachable(
            f"{host} or a proxy before it does not accept uploads of this size (status 413).",
            id="LN-4013",
            remedy="Raise its limit for request bodies.",
        )
    if answer.limited:
        wait = f"Wait {_duration(again)}" if again >= 1 else "Wait"
        mirror = ", or name a mirror with --registry-mirror" if host in DOCKER_HUB_HOSTS else ""
        return Unreachable(
            f"{host} limits how often it may be asked, and the limit is used up{said}.",
            id="LN-4014",
            remedy=f"{wait}, or log in for a higher limit{mirror}.",
        )
    if doing == "delete" and (status in (400, 405, 406, 409, 412, 501) or "UNSUPPORTED" in code):
        return Unreachable(
            f"{host} does not allow to delete stages of {repository} (status {status}){said}.",
            id="LN-4015",
            remedy="Allow it there (docker-registry: storage.delete.enabled), or delete old versions with the "
            "registry's own means, which docs/store.md names.",
        )
    if status in (405, 507) or "UNSUPPORTED" in code:
        return Unreachable(
            f"{host} does not allow to {doing} {repository} (status {status}){said}.",
            id="LN-4016",
            remedy="Check that it is no read-only mirror and that its disk is not full.",
        )
    if 300 <= status < 400:
        return Unreachable(
            f"{host} sends requests for {repository} elsewhere (status {status}).",
            id="LN-4017",
            remedy="Check the store's address.",
        )
    if status in PASSING and again > LONGEST_PAUSE:
        return Unreachable(
            f"{host} fails with status {status} and wants to be left alone for {_duration(again)}{said}.",
            id="LN-4018",
            remedy="Wait, or ask who runs it.",
        )
    if status in PASSING or status >= 500:
        tried = " at each try" if status in PASSING else ""
        return Unreachable(
            f"{host} fails with status {status}{tried} to {doing} {repository}{said}.",
            id="LN-4018",
            remedy="Look at the registry's log; its disk may be full.",
        )
    return Unreachable(
        f"{host} answers status {status} to a request to {doing} {repository}{said}.",
        id="LN-4019",
        remedy="Check that it is an OCI registry and that the address is right.",
    )


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
