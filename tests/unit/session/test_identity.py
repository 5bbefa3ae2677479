"""Runs for which their CI vouches: who is asked, who signs, and who is refused with the lines to add."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lineal.ci.context import Context
from lineal.errors import BadConfiguration, LinealError, Unreachable
from lineal.session.identity import IdentityOfRun
from lineal.session.signing import SigningOfRun
from lineal.session.trust import TrustOfRun
from lineal.stages.lane import CLOSED, OPEN
from lineal.trust.policy import IdentitySigner, KeySigner, Policy
from tests.unit.trust.test_identity import jwt

MAIN = Policy(accept=(IdentitySigner("github", "acme/shop", ("refs/heads/main",)),))
MERGED = replace(MAIN, merged=True)
GITLAB = Policy(accept=(IdentitySigner("gitlab", "acme/shop", ("refs/heads/main",)),))
BEARER = secrets.token_hex(16)


def claims(ref: str = "refs/heads/main") -> dict[str, Any]:
    return {
        "iss": "https://token.actions.githubusercontent.com", "repository": "acme/shop", "ref": ref, "sha": "1" * 40,
        "job_workflow_ref": f"acme/shop/.github/workflows/ci.yml@{ref}", "event_name": "push",
    }  # fmt: skip


@dataclass
class Forge:
    """What a runner of GitHub answers a job that asks for its token."""

    address: str = ""
    answer: bytes = b""
    status: int = 200
    asked: list[tuple[str, str]] = field(default_factory=list)

    def gives(self, ref: str = "refs/heads/main") -> str:
        token = jwt(claims(ref))
        self.answer = json.dumps({"value": token}).encode()
        return token

    @property
    def environ(self) -> dict[str, str]:
        return {"GITHUB_ACTIONS": "true", "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.address}?api-version=2.0",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": BEARER}  # fmt: skip


@pytest.fixture
def forge() -> Iterator[Forge]:
    made = Forge()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append((self.path, self.headers["Authorization"]))
            self.send_response(made.status)
            self.send_header("Content-Length", str(len(made.answer)))
            self.end_headers()
            self.wfile.write(made.answer)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.address = f"http://127.0.0.1:{server.server_port}/token"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


@dataclass
class Run:
    environ: dict[str, str]
    policy: Policy = MAIN
    facts: dict[str, Any] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        context = Context("github", "push", "c" * 40, **{"default_branch": "main", "branch": "main", **self.facts})
        self.identity = IdentityOfRun(
            self.policy, self.environ, context, None, "c" * 40, lambda _: True, self.hidden.append
        )
        self.trust = TrustOfRun(self.policy, (), context, "registry.example.com/app", identity=self.identity)
        self.signing = SigningOfRun(
            self.policy, self.environ, context, Path("/nowhere"), lambda _: None, lambda _: None, self.identity
        )


def test_a_run_with_an_identity_builds_and_asks_only_when_it_signs(forge: Forge) -> None:
    token = forge.gives()
    run = Run(forge.environ)
    run.trust.require_build()
    run.trust.require("deploy")
    assert run.trust.lane is CLOSED and forge.asked == []
    run.signing.check()
    assert run.signing.signers[0][0] == "https://github.com/acme/shop/.github/workflows/ci.yml@refs/heads/main"
    assert forge.asked == [("/token?api-version=2.0&audience=sigstore", f"Bearer {BEARER}")]
    assert run.hidden == [token]


@pytest.mark.parametrize(
    ("environ", "policy", "lines"),
    [
        ({"GITHUB_ACTIONS": "true"}, MAIN, "permissions: {id-token: write}"),
        ({"GITLAB_CI": "true"}, GITLAB, "id_tokens: {SIGSTORE_ID_TOKEN: {aud: sigstore}}"),
        ({}, MAIN, "permissions: {id-token: write}"),
        ({}, GITLAB, "id_tokens: {SIGSTORE_ID_TOKEN: {aud: sigstore}}"),
    ],
)
def test_without_one_it_is_refused_with_the_lines_to_add(environ: dict[str, str], policy: Policy, lines: str) -> None:
    run = Run(environ, policy)
    with pytest.raises(BadConfiguration) as refused:
        run.trust.require_build()
    assert f"`{lines}`" in (refused.value.remedy or "") and "does not build" in refused.value.message
    # What others have signed needs no identity.
    run.trust.require("deploy")


def test_a_key_of_the_commit_is_as_good(forge: Forge) -> None:
    run = Run({}, Policy(accept=(KeySigner("ci.pub"), *MAIN.accept)))
    replace(run.trust, signs=True).require_build()


@pytest.mark.parametrize("facts", [{"fork": True, "may_write": False, "pull_request": 5}, {"own": False}])
def test_a_stranger_never_signs(forge: Forge, facts: dict[str, Any]) -> None:
    forge.gives()
    run = Run(forge.environ, MERGED, facts)
    assert not run.trust.vouches and run.signing.sign is None and not run.signing.signers
    assert forge.asked == []


@pytest.mark.parametrize(
    ("policy", "facts", "ref", "signs"),
    [
        (MAIN, {"branch": "feature"}, "refs/heads/feature", False),
        (MERGED, {"branch": "feature"}, "refs/heads/feature", True),
        (MAIN, {"pull_request": 5, "branch": "feature"}, "refs/pull/5/merge", False),
        (MERGED, {"pull_request": 5, "branch": "feature"}, "refs/pull/5/merge", True),
    ],
)
def test_a_branch_signs_where_others_would_believe_it_one_day(
    forge: Forge, policy: Policy, facts: dict[str, Any], ref: str, signs: bool
) -> None:
    forge.gives(ref)
    run = Run(forge.environ, policy, facts)
    run.trust.require_build()
    run.signing.check()
    assert (run.signing.sign is not None) == signs
    assert run.trust.lane is (CLOSED if signs else OPEN)
    if not signs:
        with pytest.raises(BadConfiguration, match="does not deploy"):
            run.trust.require("deploy")


def test_a_protected_run_that_nobody_would_believe_is_refused_before_it_builds(forge: Forge) -> None:
    forge.gives("refs/heads/release")
    run = Run(forge.environ, facts={"branch": "release", "protected": True})
    with pytest.raises(BadConfiguration, match="refs/heads/release, which `trust"):
        run.signing.check()


@pytest.mark.parametrize(
    ("answer", "status", "kind"),
    [
        (b"", 200, Unreachable), (b"[]", 200, Unreachable), (b'{"value": 1}', 200, Unreachable),
        (json.dumps({"value": "secret.token.here"}).encode(), 500, Unreachable),
        (json.dumps({"value": "secret.token.here"}).encode(), 200, BadConfiguration),
        (b"x" * 200_000, 200, Unreachable),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_token_is_said_and_not_repeated(
    forge: Forge, answer: bytes, status: int, kind: type[LinealError]
) -> None:
    forge.answer, forge.status = answer, status
    with pytest.raises(kind) as failed:
        Run(forge.environ).signing.check()
    assert "secret" not in str(failed.value) and BEARER not in str(failed.value)


def test_nobody_answers() -> None:
    environ = {"GITHUB_ACTIONS": "true", "ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:1/",
               "ACTIONS_ID_TOKEN_REQUEST_TOKEN": BEARER}  # fmt: skip
    with pytest.raises(Unreachable, match="no identity token"):
        Run(environ).signing.check()


def test_a_job_of_gitlab_has_its_token_in_a_variable() -> None:
    said = {"iss": "https://gitlab.com", "project_path": "acme/shop", "ref": "main", "ref_type": "branch",
            "sha": "1" * 40, "ci_config_ref_uri": "gitlab.com/acme/shop//.gitlab-ci.yml@refs/heads/main",
            "pipeline_source": "push"}  # fmt: skip
    run = Run({"GITLAB_CI": "true", "SIGSTORE_ID_TOKEN": jwt(said)}, GITLAB)
    run.trust.require_build()
    run.signing.check()
    assert run.signing.signers[0][0] == "https://gitlab.com/acme/shop//.gitlab-ci.yml@refs/heads/main"


@pytest.mark.parametrize("make", [lambda path: path / "none", lambda path: path])
def test_a_trust_config_that_cannot_be_read_is_named(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    run = Run({"LINEAL_SIGSTORE_TRUST_CONFIG": str(make(tmp_path))})
    with pytest.raises(BadConfiguration, match="names no file that can be read"):
        _ = run.identity.verifier
