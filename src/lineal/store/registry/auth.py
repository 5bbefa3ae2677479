"""How a registry's 401 is answered: Basic, or Bearer tokens cached per set of scopes until they expire."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlencode, urlsplit

from lineal.errors import LinealError, Unreachable
from lineal.oci.credential import Credential
from lineal.regex import regex
from lineal.store.registry.network_policy import hostname, is_inside, is_metadata
from lineal.value import dataclass

Scope = tuple[str, str]
"""A resource and an action on it: `("repository:team/app", "pull")`."""
Exchange = Callable[[str, str, dict[str, str], bytes | None], tuple[int, bytes]]
"""Sends method, URL, headers and form to a token server; gives status and body. Follows no redirect."""

_DEFAULT_SECONDS = 60
_MOST_SECONDS = 24 * 3600
_MARGIN_SECONDS = 10
_PARAMETER = regex(r'([A-Za-z_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_QUOTED = regex(r'"(?:[^"\\]|\\.)*"')
_SCHEME = regex(r"(?:^|,)\s*(bearer|basic)(?=[\s,]|$)", re.IGNORECASE)
_TOKEN = regex(r"[\x21-\x7e]+")
LISTING = "list the tags of"
"""What some registries have a right of its own for."""


class Denied(Unreachable):
    """The registry or its token server answers 401 or 403."""


def repository_scopes(repository: str, *actions: str) -> tuple[Scope, ...]:
    return tuple((f"repository:{repository}", action) for action in actions)


@dataclass(frozen=True, slots=True)
class Challenge:
    """A `WWW-Authenticate` header: `basic`, or `bearer` with the token server to ask."""

    scheme: str
    realm: str = ""
    service: str = ""
    scopes: tuple[Scope, ...] = ()


def parse_challenge(header: str) -> Challenge | None:
    """The Bearer challenge of a header, else its Basic one, else None."""
    # Schemes are searched where no quoted text is; the positions stay those of the header.
    bare = _QUOTED.sub(lambda match: '"' + "x" * (len(match[0]) - 2) + '"', header)
    starts = list(_SCHEME.finditer(bare))
    ends = [*(match.start() for match in starts[1:]), len(header)]
    found: dict[str, dict[str, str]] = {}
    for match, end in zip(starts, ends, strict=False):
        fields = {
            key.lower(): quoted or plain for key, quoted, plain in _PARAMETER.findall(header[match.end() : end])
        }
        found.setdefault(match[1].lower(), fields)
    if "bearer" in found and found["bearer"].get("realm"):
        fields = found["bearer"]
        return Challenge("bearer", fields["realm"], fields.get("service", ""), _scopes(fields.get("scope", "")))
    return Challenge("basic") if "basic" in found else None


def _scopes(text: str) -> tuple[Scope, ...]:
    pairs = (part.rpartition(":") for part in text.split())
    return tuple((resource, action) for resource, _, actions in pairs for action in actions.split(",") if resource)


class Authenticator:
    """The `Authorization` of one registry, for its own host only. Safe to call from several threads."""

    def __init__(
        self,
        host: str,
        repository: str,
        *,
        secure: bool,
        exchange: Exchange,
        monotonic: Callable[[], float],
        environ: Mapping[str, str],
        credential: Credential | None = None,
        fallback: Credential | None = None,
    ) -> None:
        self._host, self._repository, self._secure = host, repository, secure
        self._exchange, self._monotonic, self._environ = exchange, monotonic, environ
        self._lock = threading.RLock()
        self._challenge: Challenge | None = None
        self._given, self._credential, self._fallback = credential, credential, fallback
        self._looked_up = credential is not None
        self._problem: str | None = None
        self._refresh_token = ""
        self._tokens: dict[frozenset[Scope], tuple[str, float]] = {}

    @property
    def known(self) -> bool:
        """Whether the registry is asked as somebody, not as anyone."""
        return self._credential is not None

    def login(self) -> Credential | None:
        """The credential for this registry, whether it has been asked for or not."""
        with self._lock:
            return self._find()

    def header(self, scopes: Sequence[Scope]) -> str | None:
        """The header of a first try: None until the registry has asked for credentials, unless a token was given."""
        with self._lock:
            if self._challenge is None:
                given = self._credential.registry_token if self._credential else ""
                return f"Bearer {given}" if given else None
            if self._challenge.scheme == "basic":
                return self._credential.basic() if self._credential else None
            return "Bearer " + (self._cached(scopes) or self._fetch(scopes))

    def answer(self, challenge: str, scopes: Sequence[Scope], failed: str | None) -> str | None:
        """The header to send after a 401 that came for `failed`; None when no better one is left."""
        with self._lock:
            parsed = parse_challenge(challenge)
            if parsed is None:
                return None
            if parsed.scheme == "basic":
                self._challenge = parsed
                credential = self._find()
                return credential.basic() if credential and credential.basic() != failed else None
            self._check_realm(parsed.realm)
            self._challenge = parsed
            # Some token servers grant the first scope only: the one that was demanded goes first.
            wanted = (*parsed.scopes, *(scope for scope in scopes if scope not in parsed.scopes))
            token = self._cached(wanted)
            if token is None or failed == f"Bearer {token}":
                token = self._fetch(wanted)
            return None if failed == f"Bearer {token}" else f"Bearer {token}"

    def denied(self, doing: str) -> Denied:
        """The error for a 401 or 403 while `doing` ("read", "write", "delete" or `LISTING`)."""
        with self._lock:
            credential, problem = self._credential, self._problem
        login = f"`docker login {self._host}`, or LINEAL_REGISTRY_USERNAME and LINEAL_REGISTRY_PASSWORD for the store"
        why = f" {problem}" if problem else ""
        if credential is None:
            return Denied(
                f"{self._host} does not let anyone {doing} {self._repository} without credentials, "
                f"and none were found.{why}",
                id="LN-4004",
                remedy=f"Log in: {login}.",
            )
        if doing == LISTING:
            return Denied(
                f"{self._host} does not let the credentials from {credential.source} {doing} {self._repository}, "
                "though they may read there.",
                id="LN-4031",
                remedy="Publishing needs that right: ecr:ListImages in ECR, List Tag for a robot of Harbor.",
            )
        return Denied(
            f"{self._host} refuses to let the credentials from {credential.source} {doing} {self._repository}.{why}",
            id="LN-4005",
            remedy=f"Check that they are right and may {doing} there, or give others: {login}.",
        )

    def fresh_login(self) -> Credential | None:
        """The credential as it is now, for somebody else who talks to this registry for us: a helper's may be
        short-lived."""
        with self._lock:
            if self._given is None:
                self._looked_up, self._credential = False, None
            return self._find()

    def _find(self) -> Credential | None:
        from lineal.store.registry.credentials import AUTH_VARIABLE, find_credential

        if not self._looked_up:
            self._looked_up = True
            found, self._problem = find_credential(self._host, self._repository, self._environ)
            given_to_runner = found is not None and found.source == AUTH_VARIABLE
            self._credential = (self._fallback or found) if given_to_runner else (found or self._fallback)
            if self._credential is None and self._secure:
                self._credential = self._of_cloud()
        return self._credential

    def _of_cloud(self) -> Credential | None:
        """A login by the credentials of a cloud that the environment has, for that cloud's own registries."""
        from lineal import clouds

        try:
            return clouds.login(self._host, self._environ, self._exchange)
        except clouds.CloudRefuses as error:
            self._problem = self._problem or str(error)
        except LinealError as error:
            self._problem = self._problem or error.message
        return None

    def _cached(self, scopes: Sequence[Scope]) -> str | None:
        wanted, now = frozenset(scopes), self._monotonic()
        for granted, (token, expiry) in self._tokens.items():
            if wanted <= granted and now < expiry:
                return token
        return None

    def _fetch(self, scopes: Sequence[Scope]) -> str:
        credential = self._find()
        if credential and credential.registry_token:
            return credential.registry_token
        challenge = self._challenge or Challenge("bearer")
        status, body = self._ask(challenge, scopes, credential)
        if status in (400, 401, 403) and credential and credential.ambient:
            # Nobody gave it for this registry, which may be one that anyone may read.
            status, body = self._ask(challenge, scopes, None)
        if status in (400, 401, 403):
            actions = {action for _, action in scopes}
            raise self.denied("delete" if "delete" in actions else "write" if "push" in actions else "read")
        if status != 200:
            raise Unreachable(
                f"The token server of {self._host} answers {status}.",
                id="LN-4006",
                remedy="Try again later, or ask who runs it.",
            )
        answer = self._parse(body)
        token, seconds = answer.get("token") or answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise self._nonsense()
        if isinstance(refresh := answer.get("refresh_token"), str) and _TOKEN.fullmatch(refresh):
            self._refresh_token = refresh
        valid = min(seconds, _MOST_SECONDS) if isinstance(seconds, int | float) and seconds > 0 else _DEFAULT_SECONDS
        expiry = self._monotonic() + valid - min(_MARGIN_SECONDS, valid / 4)
        self._tokens[frozenset(scopes)] = (token, expiry)
        return token

    def _ask(self, challenge: Challenge, scopes: Sequence[Scope], credential: Credential | None) -> tuple[int, bytes]:
        realm, service = challenge.realm, challenge.service
        by_resource: dict[str, list[str]] = {}
        for resource, action in scopes:
            by_resource.setdefault(resource, []).append(action)
        wanted = [f"{resource}:{','.join(actions)}" for resource, actions in by_resource.items()]
        if identity := self._refresh_token or (credential.identity_token if credential else ""):
            form = {"grant_type": "refresh_token", "client_id": "lineal", "refresh_token": identity}
            fields = urlencode({**form, "service": service, "scope": " ".join(wanted)}).encode()
            status, body = self._exchange(
                "POST", realm, {"Content-Type": "application/x-www-form-urlencoded"}, fields
            )
            if status not in (404, 405):
                return status, body
        query = urlencode([*([("service", service)] if service else []), *(("scope", scope) for scope in wanted)])
        url = f"{realm}{'&' if '?' in realm else '?'}{query}"
        return self._exchange("GET", url, {"Authorization": credential.basic()} if credential else {}, None)

    def _parse(self, body: bytes) -> dict[str, object]:
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise self._nonsense()
        return answer

    def _nonsense(self) -> Unreachable:
        return Unreachable(
            f"The token server of {self._host} answers with something that is not a token.", id="LN-4006"
        )

    def _check_realm(self, realm: str) -> None:
        """The password goes to the realm, so it must be as safe as the registry, and no address inside a network."""
        try:
            url = urlsplit(realm)
            name = url.hostname or ""
        except ValueError:
            url, name = urlsplit(""), ""
        own = hostname(self._host)
        schemes = ("https",) if self._secure else ("http", "https")
        if (
            not name
            or url.scheme not in schemes
            or url.username
            or (name != own and (is_metadata(name) or (self._secure and is_inside(name))))
        ):
            raise Unreachable(
                f"{self._host} sends credentials to a token server that is not safe to give them to.",
                id="LN-4007",
                remedy="Check the address of the registry; its token server must be public and use https.",
            )
