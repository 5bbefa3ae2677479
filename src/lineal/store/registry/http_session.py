"""A `requests` session that decides nothing by itself: no netrc, no cookies, no retries of its own."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from requests.adapters import HTTPAdapter

import lineal
from lineal.errors import BadConfiguration
from lineal.store.registry.deadline import POOLS
from lineal.store.registry.http import requests
from lineal.store.registry.proxies import Proxies

POOL = 16
CERTIFICATES = Path("/etc/docker/certs.d")


def new_session(endpoint: str, environ: Mapping[str, str]) -> requests.Session:
    """Proxies and certificate authorities come from the environment, as for every tool, and from Docker's
    certificate directory for `endpoint`."""
    session = _Session(Proxies(environ))
    session.headers.update({"User-Agent": f"lineal/{lineal.__version__}", "Accept-Encoding": "identity"})
    # Without an `auth`, requests puts a ~/.netrc entry in place of our Authorization header (psf/requests#3929).
    session.auth = _as_it_is
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.verify = _authorities(environ) or True
    session.mount("http://", _Adapter(pool_maxsize=POOL))
    session.mount("https://", _Adapter(pool_maxsize=POOL))
    directory = CERTIFICATES / endpoint
    if directory.is_dir():
        session.mount(f"https://{endpoint}/", _CertificateAdapter(directory))
    return session


def connect(session: requests.Session, url: str, seconds: float) -> None:
    """Open a connection to the host of `url` and keep it for the next request there. Raises what urllib3 raises."""
    chosen = session.merge_environment_settings(url, {}, None, session.verify, None)
    if chosen["proxies"]:
        return  # the request tells the proxy first where to go
    adapter = session.get_adapter(url)
    assert isinstance(adapter, HTTPAdapter)
    wanted = requests.Request("GET", url).prepare()
    pool: Any = adapter.get_connection_with_tls_context(wanted, chosen["verify"], cert=chosen["cert"])
    adapter.cert_verify(pool, url, chosen["verify"], chosen["cert"])  # type: ignore[no-untyped-call]
    connection = pool._get_conn()
    try:
        connection.timeout = seconds
        if connection.is_closed:
            connection.connect()
    except BaseException:
        connection.close()
        raise
    finally:
        pool._put_conn(connection)


class _Session(requests.Session):
    """Asks our own reading of the environment for the proxy of each request: requests compares NO_PROXY otherwise."""

    def __init__(self, proxies: Proxies) -> None:
        super().__init__()
        self.trust_env = False
        self._of_environment = proxies

    def merge_environment_settings(self, url: Any, proxies: Any, *others: Any) -> Any:
        proxy = self._of_environment.of(str(url))
        if proxy:
            proxies = {urlsplit(str(url)).scheme: proxy}
        return super().merge_environment_settings(url, proxies, *others)


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _authorities(environ: Mapping[str, str]) -> str | None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        if path := environ.get(name):
            if not Path(path).exists():
                raise BadConfiguration(
                    f"{name} names {path}, which does not exist.", id="LN-4010", remedy="Correct or unset it."
                )
            return path
    return None


class _Adapter(HTTPAdapter):
    """Its connections know the deadline of the request that they are for."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = POOLS
        return manager


class _CertificateAdapter(_Adapter):
    """Adds Docker's `*.crt` (authorities) and `*.cert` with `*.key` (our own certificate) of one registry."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        super().__init__(pool_maxsize=POOL)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context(), **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        return super().proxy_manager_for(proxy, ssl_context=self._context(), **kwargs)

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        try:
            for file in sorted(self._directory.glob("*.crt")):
                context.load_verify_locations(file)
            for file in sorted(self._directory.glob("*.cert")):
                context.load_cert_chain(file, file.with_suffix(".key"))
        except OSError as error:
            raise BadConfiguration(
                f"A certificate in {self._directory} cannot be used ({error.strerror or type(error).__name__}).",
                id="LN-4010",
                remedy="Replace or remove it.",
            ) from None
        return context
