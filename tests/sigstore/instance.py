"""A private instance of Sigstore, with its real services: Fulcio, a certificate log, Rekor and a timestamp authority,
and forges whose tokens it believes. scripts/sigstore builds the programs."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import requests
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from tests.built import CACHE

PROGRAMS = CACHE / "sigstore"
_TEMPLATES = {
    "github-workflow": {
        "build-signer-uri": "{{ .url }}/{{ .job_workflow_ref }}",
        "source-repository-uri": "{{ .url }}/{{ .repository }}",
        "source-repository-digest": "sha",
        "source-repository-ref": "ref",
        "build-trigger": "event_name",
    },
    "gitlab-pipeline": {
        "build-signer-uri": "https://{{ .ci_config_ref_uri }}",
        "source-repository-uri": "{{ .url }}/{{ .project_path }}",
        "source-repository-digest": "sha",
        "source-repository-ref": 'refs/{{if eq .ref_type "branch"}}heads/{{ else }}tags/{{end}}{{ .ref }}',
        "build-trigger": "pipeline_source",
    },
}
"""As Fulcio's own configuration has them (config/identity/config.yaml), as far as Lineal reads them."""
_NAMES = {
    "github-workflow": "{{ .url }}/{{ .job_workflow_ref }}",
    "gitlab-pipeline": "https://{{ .ci_config_ref_uri }}",
}


@dataclass(frozen=True)
class Instance:
    config: Path
    """Its ClientTrustConfig."""
    forge: Forge


class Forge:
    """A GitHub Enterprise Server and a GitLab at one address: their tokens, and what runners ask for one."""

    def __init__(self, folder: Path) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.certificate = folder / "forge.pem"
        _write_certificate(self.certificate)
        forge = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                found = forge.answer(path, self.headers.get("Authorization", ""))
                data = json.dumps(found).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._runners = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        for server in (self._server, self._runners):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.address = f"https://{self.host}"
        self._offered: dict[str, dict[str, Any]] = {}

    def close(self) -> None:
        for server in (self._server, self._runners):
            server.shutdown()
            server.server_close()

    @property
    def issuers(self) -> dict[str, str]:
        return {f"{self.address}/_services/token": "github-workflow", self.address: "gitlab-pipeline"}

    def answer(self, path: str, authorization: str) -> dict[str, Any] | None:
        if path == "/token":
            claims = self._offered.get(authorization.removeprefix("Bearer "))
            return {"value": self._token(claims)} if claims is not None else None
        issuer = next((one for one in self.issuers if path.startswith(one.removeprefix(self.address) + "/.well")), "")
        if issuer:
            kinds = {"response_types_supported": ["id_token"], "subject_types_supported": ["public"]}
            keys = {"jwks_uri": f"{self.address}/keys", "id_token_signing_alg_values_supported": ["RS256"]}
            return {"issuer": issuer, **keys, **kinds}
        if path != "/keys":
            return None
        numbers = self._key.public_key().public_numbers()
        fields = {"n": numbers.n.to_bytes(256, "big"), "e": numbers.e.to_bytes(3, "big")}
        key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1"}
        return {"keys": [{**key, **{name: _url64(value) for name, value in fields.items()}}]}

    def github(
        self, repository: str, ref: str, commit: str, workflow: str = "", event: str = "push"
    ) -> dict[str, str]:
        """The environment of a job that GitHub vouches for, as far as that goes."""
        bearer = os.urandom(9).hex()
        self._offered[bearer] = self._claims(repository, ref, commit, workflow, event)
        return {"ACTIONS_ID_TOKEN_REQUEST_URL": f"http://127.0.0.1:{self._runners.server_port}/token",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": bearer}  # fmt: skip

    def token(self, repository: str, ref: str, commit: str) -> str:
        """What such a job gets for its asking."""
        return self._token(self._claims(repository, ref, commit))

    def _claims(
        self, repository: str, ref: str, commit: str, workflow: str = "", event: str = "push"
    ) -> dict[str, Any]:
        return {
            "iss": f"{self.address}/_services/token", "sub": f"repo:{repository}:ref:{ref}", "repository": repository,
            "ref": ref, "sha": commit, "event_name": event,
            "job_workflow_ref": workflow or f"{repository}/.github/workflows/ci.yml@{ref}",
        }  # fmt: skip

    def gitlab(self, project: str, branch: str, commit: str) -> dict[str, str]:
        """The same of GitLab."""
        ref = f"{self.host}/{project}//.gitlab-ci.yml@refs/heads/{branch}"
        return {"SIGSTORE_ID_TOKEN": self._token({
            "iss": self.address, "sub": f"project_path:{project}:ref_type:branch:ref:{branch}", "sha": commit,
            "project_path": project, "ref": branch, "ref_type": "branch", "ci_config_ref_uri": ref,
            "pipeline_source": "push",
        })}  # fmt: skip

    def _token(self, claims: dict[str, Any]) -> str:
        now = int(time.time())
        body = {**claims, "aud": "sigstore", "iat": now, "nbf": now - 5, "exp": now + 300}
        parts = [_url64(json.dumps(one).encode()) for one in ({"alg": "RS256", "kid": "1"}, body)]
        return ".".join([*parts, _url64(self._key.sign(".".join(parts).encode(), padding.PKCS1v15(), SHA256()))])


@contextmanager
def running() -> Iterator[Instance]:
    """An instance, with all its services."""
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="sigstore-", ignore_cleanup_errors=True))
        )
        forge = Forge(folder)
        stack.callback(forge.close)
        ports = {
            name: _port() for name in ("fulcio", "grpc", "metrics", "ct", "rekor", "rekor-grpc", "rekor-m", "tsa")
        }
        urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        keys = {name: _write_key(folder / f"{name}.key") for name in ("ct", "rekor")}
        (folder / "issuers.yaml").write_text(yaml.safe_dump(_issuers(forge)))
        trusting = {"SSL_CERT_FILE": str(forge.certificate)}
        _start(stack, folder, "fulcio", [
            "serve", "--ca=ephemeralca", f"--config-path={folder}/issuers.yaml", "--host=127.0.0.1",
            f"--port={ports['fulcio']}", "--grpc-host=127.0.0.1", f"--grpc-port={ports['grpc']}",
            f"--metrics-port={ports['metrics']}", f"--ct-log-url={urls['ct']}/log",
            f"--legacy-unix-domain-socket={folder}/fulcio.sock",
        ], trusting)  # fmt: skip
        (chain,) = _wait(f"{urls['fulcio']}/api/v2/trustBundle", folder).json()["chains"]
        (folder / "roots.pem").write_text("".join(chain["certificates"]))
        _start(stack, folder, "tesseract", [
            f"--http_endpoint=127.0.0.1:{ports['ct']}", "--path_prefix=/log", "--origin=ct.test/log",
            f"--roots_pem_file={folder}/roots.pem", f"--storage_dir={folder}/ct", f"--private_key={folder}/ct.key",
            "--enable_publication_awaiter=false", "--checkpoint_interval=1s",
        ])  # fmt: skip
        _start(stack, folder, "rekor", [
            "serve", f"--http-port={ports['rekor']}", f"--grpc-port={ports['rekor-grpc']}", "--hostname=rekor.test",
            f"--http-metrics-port={ports['rekor-m']}", f"--storage-dir={folder}/rekor",
            f"--signer-filepath={folder}/rekor.key", "--checkpoint-interval=200ms", "--batch-max-age=20ms",
        ])  # fmt: skip
        _start(stack, folder, "timestamp-server", [
            "serve", "--host=127.0.0.1", f"--port={ports['tsa']}", "--timestamp-signer=memory",
            "--disable-ntp-monitoring",
        ])  # fmt: skip
        _wait(f"{urls['ct']}/log/ct/v1/get-roots", folder)
        _wait(f"{urls['rekor']}/healthz", folder)
        stamps = _wait(f"{urls['tsa']}/api/v1/timestamp/certchain", folder).text
        config = folder / "trust.json"
        config.write_text(json.dumps(_config(urls, "".join(chain["certificates"]), stamps, keys)))
        yield Instance(config, forge)


def _issuers(forge: Forge) -> dict[str, Any]:
    """Fulcio's configuration."""
    issuers = {
        address: {"issuer-url": address, "client-id": "sigstore", "type": "ci-provider", "ci-provider": kind,
                  "contact": "nobody@example.com", "description": kind}
        for address, kind in forge.issuers.items()
    }  # fmt: skip
    metadata = {
        kind: {"default-template-values": {"url": forge.address}, "extension-templates": templates,
               "subject-alternative-name-template": _NAMES[kind]}
        for kind, templates in _TEMPLATES.items()
    }  # fmt: skip
    return {"oidc-issuers": issuers, "ci-issuer-metadata": metadata}


def _config(urls: dict[str, str], chain: str, stamps: str, keys: dict[str, bytes]) -> dict[str, Any]:
    valid = {"start": "2020-01-01T00:00:00Z"}

    def log(name: str, url: str) -> dict[str, Any]:
        public = {"rawBytes": b64encode(keys[name]).decode(), "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                  "validFor": valid}  # fmt: skip
        digest = b64encode(_sha256(keys[name])).decode()
        return {"baseUrl": url, "hashAlgorithm": "SHA2_256", "publicKey": public, "logId": {"keyId": digest}}

    def authority(name: str, pem: str) -> dict[str, Any]:
        found = x509.load_pem_x509_certificates(pem.encode())
        certificates = [{"rawBytes": b64encode(one.public_bytes(Encoding.DER)).decode()} for one in found]
        return {"subject": {"organization": "test", "commonName": name}, "uri": urls[name],
                "certChain": {"certificates": certificates}, "validFor": valid}  # fmt: skip

    def service(name: str, version: int) -> list[dict[str, Any]]:
        return [{"url": urls[name], "majorApiVersion": version, "validFor": valid, "operator": "test"}]

    any_one = {"selector": "ANY"}
    # By its host name, Rekor's checkpoints name the log.
    return {
        "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
        "trustedRoot": {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log("rekor", "https://rekor.test")], "ctlogs": [log("ct", f"{urls['ct']}/log")],
            "certificateAuthorities": [authority("fulcio", chain)],
            "timestampAuthorities": [authority("tsa", stamps)],
        },
        "signingConfig": {
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": service("fulcio", 1), "oidcUrls": [],
            "rekorTlogUrls": service("rekor", 2), "rekorTlogConfig": any_one,
            "tsaUrls": [{**one, "url": f"{one['url']}/api/v1/timestamp"} for one in service("tsa", 1)],
            "tsaConfig": any_one,
        },
    }  # fmt: skip


# --- parts ------------------------------------------------------------------------------------------------------


def _start(stack: ExitStack, folder: Path, name: str, args: list[str], env: dict[str, str] | None = None) -> None:
    log = stack.enter_context((folder / f"{name}.log").open("wb"))
    process = subprocess.Popen(
        [PROGRAMS / name, *args], cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **(env or {})},
    )  # fmt: skip

    def stop() -> None:
        process.kill()
        process.wait()

    stack.callback(stop)


def _wait(url: str, folder: Path) -> requests.Response:
    """The answer of a service that has just been started, with its log in the folder."""
    deadline = time.monotonic() + 300
    while True:
        try:
            answer = requests.get(url, timeout=300)
            if answer.status_code == 200:
                return answer
        except requests.ConnectionError:
            pass
        assert time.monotonic() < deadline, f"nobody answers at {url}: {_said(folder)}"
        time.sleep(0.1)


def _said(folder: Path) -> str:
    return "\n".join(f"{log.name}: {log.read_text()[-1000:]}" for log in folder.glob("*.log"))


def _port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _write_key(path: Path) -> bytes:
    """A new key, in PEM; gives the public half in DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _write_certificate(path: Path) -> None:
    """A certificate of 127.0.0.1 that vouches for itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "forge.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )  # fmt: skip
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + private)


def _url64(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _sha256(data: bytes) -> bytes:
    import hashlib

    return hashlib.sha256(data).digest()
