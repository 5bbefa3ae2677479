"""The versions of a container package in GitHub's REST API.

Facts: docs.github.com/rest/packages/packages and /rest/using-the-rest-api/rate-limits-for-the-rest-api."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from requests.utils import parse_header_links

from lineal.clock import Time
from lineal.errors import Unreachable
from lineal.oci.credential import Credential
from lineal.oci.verify import is_digest
from lineal.store.registry.errors import refused
from lineal.store.registry.response import Response, codes
from lineal.store.registry.transport import Transport

PAGE = 100
"""Versions of one answer; GitHub gives no more."""
_PAGES = 10_000
_BIGGEST = 16 << 20
_SECONDARY = 60.0
"""Seconds to wait at a secondary limit that names none: "at least one minute"."""
_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}


def api_of(host: str, environ: Mapping[str, str]) -> str | None:
    """The address of the API that knows the packages of a registry; None when GitHub does not run the registry.

    The runner names the API of its own server; of others the address follows from their name."""
    try:
        here = urlsplit(environ.get("GITHUB_SERVER_URL") or "https://github.com").hostname
    except ValueError:
        here = None
    forge = "github.com" if host == "ghcr.io" else host.removeprefix("containers.")
    is_tenant = forge.endswith(".ghe.com")
    if forge == host or not (forge in ("github.com", here) or is_tenant):
        return None
    if forge == here and (given := environ.get("GITHUB_API_URL")):
        return given
    return f"https://api.{forge}" if forge == "github.com" or is_tenant else f"https://{forge}/api/v3"


@dataclass(frozen=True, slots=True)
class Version:
    """One manifest of the package. `changed` is in milliseconds since 1970, by GitHub's clock."""

    id: int
    digest: str
    tags: tuple[str, ...]
    changed: int


class Kept(Exception):
    """GitHub does not delete a version, whoever asks, such as one that was downloaded 5,000 times from a public
    package, or the last one with a tag. The text is its reason."""


class Packages:
    """The versions of one package. Asks for one thing at a time, as GitHub wants it."""

    def __init__(
        self,
        api: str,
        repository: str,
        login: Credential,
        environ: Mapping[str, str],
        time: Time,
        note: Callable[[str], None],
    ) -> None:
        """`api` is its address, `repository` the `OWNER/NAME` of the package, `login` that of the registry, whose
        password is a token. `note` takes a line for people: what is waited for."""
        url = urlsplit(api)
        self._owner, _, self._name = repository.partition("/")
        self._source, self._path, self._time = login.source, url.path.rstrip("/"), time
        token = Credential(login.source, registry_token=login.password)
        self._http = Transport(
            url.netloc,
            repository,
            insecure=False,
            environ=environ,
            credential=token,
            time=time,
            note=note,
            at_a_limit=_SECONDARY,
        )
        self._where = ""

    def versions(self) -> list[Version]:
        """All that are not deleted. Raises `Unreachable`."""
        found: dict[str, Version] = {}
        where = f"{self._package()}/versions?per_page={PAGE}&state=active"
        for _ in range(_PAGES):
            answer = self._ask("GET", where)
            found |= {version.digest: version for version in self._parsed(answer)}
            following = self._next(answer)
            if following is None:
                return list(found.values())
            where = following
        raise self._nonsense("a list of versions that has no end")

    def delete(self, version: Version) -> None:
        """Delete a version; one that is gone already is no error. Raises `Kept` or `Unreachable`."""
        where = f"{self._package()}/versions/{version.id}"
        answer = self._http.ask("DELETE", where, headers=_HEADERS)
        if answer.status in (400, 422):
            raise Kept(codes(answer.body)[1] or "Bad Request")
        if answer.status in (401, 403, 404) and not answer.limited:
            # 404 says two things: that it is gone, as after an answer that was lost, and that the token may not.
            if answer.status == 404 and self._http.ask("GET", where, headers=_HEADERS).status == 404:
                return
            raise self._denied(answer, "delete versions of")
        if answer.status not in (200, 202, 204):
            raise self._refused(answer, "delete")

    def _package(self) -> str:
        """The path of the package: an organization's, one's own, or another user's."""
        if not self._where:
            package = f"packages/container/{quote(self._name, safe='')}"
            self._where = f"{self._path}{self._account()}/{package}"
        return self._where

    def _account(self) -> str:
        owner = self._json(self._ask("GET", f"{self._path}/users/{self._owner}"))
        if owner.get("type") == "Organization":
            return f"/orgs/{self._owner}"
        # A person's own token sees the private packages here only; the token of a workflow's job is nobody's.
        answer = self._http.ask("GET", f"{self._path}/user", headers=_HEADERS)
        own = answer.status == 200 and str(self._json(answer).get("login", "")).lower() == self._owner
        return "/user" if own else f"/users/{self._owner}"

    def _ask(self, method: str, where: str) -> Response:
        answer = self._http.ask(method, where, headers=_HEADERS, limit=_BIGGEST)
        if answer.status in (401, 403, 404) and not answer.limited:
            raise self._denied(answer, "see")
        if answer.status != 200:
            raise self._refused(answer, "read")
        return answer

    def _parsed(self, answer: Response) -> Iterator[Version]:
        try:
            for one in json.loads(answer.body):
                tags = [str(tag) for tag in one["metadata"]["container"]["tags"]]
                times = [datetime.fromisoformat(one[name]).timestamp() for name in ("created_at", "updated_at")]
                if is_digest(digest := str(one["name"])):
                    yield Version(int(one["id"]), digest, tuple(tags), int(max(times) * 1000))
        except (ValueError, RecursionError, LookupError, TypeError, OverflowError):
            raise self._nonsense("with something that is not a list of versions") from None

    def _json(self, answer: Response) -> dict[str, Any]:
        try:
            value = json.loads(answer.body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise self._nonsense("with something that is not an account")
        return value

    def _next(self, answer: Response) -> str | None:
        for link in parse_header_links(answer.headers.get("Link", "")):
            if link.get("rel") == "next":
                url, foreign = self._http.resolve(answer.url, link["url"], "the next page of versions")
                if foreign:
                    raise self._nonsense("a list of versions that goes on at another host")
                return url
        return None

    def _denied(self, answer: Response, doing: str) -> Unreachable:
        said = codes(answer.body)[1]
        return Unreachable(
            f"GitHub does not let the token from {self._source} {doing} the package {self._owner}/{self._name}"
            f" (status {answer.status}){f', and says: {said!r}' if said else ''}.",
            id="LN-8006",
            remedy="A job needs `packages: write`, and its repository the role Admin in the package's settings "
            "(Manage Actions access); a classic personal access token needs read:packages and delete:packages.",
        )

    def _refused(self, answer: Response, doing: str) -> Exception:
        package = f"the package {self._owner}/{self._name}"
        return refused(self._http.host, package, answer, doing, answer.pause(self._time))

    def _nonsense(self, what: str) -> Unreachable:
        return Unreachable(
            f"{self._http.host} answers {what}.",
            id="LN-8007",
            remedy="Check that GITHUB_API_URL is the API of a GitHub server.",
        )
