"""Which requests take a proxy: the rules of Go's tools, for every form that NO_PROXY takes."""

from __future__ import annotations

import pytest

from lineal.store.registry.proxies import Proxies

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("no_proxy", "direct", "proxied"),
    [
        ("example.test", ["example.test", "reg.example.test", "a.b.example.test"], ["badexample.test", "test"]),
        (".example.test", ["reg.example.test"], ["example.test", "badexample.test"]),
        ("*.example.test", ["reg.example.test", "a.b.example.test"], ["example.test", "badexample.test"]),
        ("Reg.EXAMPLE.test", ["reg.example.test", "REG.example.TEST"], ["example.test"]),
        ("reg.example.test:5000", ["reg.example.test:5000"], ["reg.example.test", "reg.example.test:5001"]),
        ("*.example.test:443", ["reg.example.test", "reg.example.test:443"], ["reg.example.test:5000"]),
        (".example.test:5000", ["reg.example.test:5000"], ["reg.example.test"]),
        ("*", ["example.test", "10.1.2.3", "[2001:db8::1]:5000"], []),
        ("other.test, *", ["example.test"], []),
        ("10.0.0.0/8", ["10.1.2.3", "10.1.2.3:5000"], ["11.1.2.3", "10.example.test"]),
        ("10.1.2.3", ["10.1.2.3", "10.1.2.3:5000"], ["10.1.2.30", "110.1.2.3"]),
        ("10.1.2.3:5000", ["10.1.2.3:5000"], ["10.1.2.3"]),
        ("2001:db8::/32", ["[2001:db8::1]:5000"], ["[2001:db9::1]", "32.0.1.13"]),
        ("2001:db8::1", ["[2001:db8::1]:5000", "[2001:DB8:0::1]"], ["[2001:db8::2]"]),
        ("[2001:db8::1]:5000", ["[2001:db8::1]:5000"], ["[2001:db8::1]"]),
        ("[2001:db8::1]", ["[2001:db8::1]:5000"], ["[2001:db8::2]"]),
        ("  a.test ,\tb.test  c.test,", ["a.test", "b.test", "x.c.test"], ["d.test"]),
        (", ,.,*.,:80,10.0.0.0/99,[", [], ["example.test", "10.0.0.1"]),
        ("", [], ["example.test", "10.0.0.1"]),
    ],
)
def test_no_proxy_as_go_understands_it(no_proxy: str, direct: list[str], proxied: list[str]) -> None:
    proxies = Proxies({"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy})
    assert {host: proxies.of(f"https://{host}/v2/") for host in direct} == dict.fromkeys(direct)
    assert {host: proxies.of(f"https://{host}/v2/") for host in proxied} == dict.fromkeys(proxied, PROXY)


@pytest.mark.parametrize(
    ("environ", "https", "http"),
    [
        ({}, None, None),
        ({"HTTPS_PROXY": PROXY}, PROXY, None),
        ({"http_proxy": PROXY}, None, PROXY),
        ({"ALL_PROXY": "http://all.example", "HTTP_PROXY": PROXY}, "http://all.example", PROXY),
        ({"HTTPS_PROXY": PROXY, "https_proxy": "http://lower.example"}, PROXY, None),
        ({"HTTPS_PROXY": "", "https_proxy": PROXY}, PROXY, None),
        ({"https_proxy": PROXY, "no_proxy": "example.test"}, None, None),
        ({"https_proxy": PROXY, "NO_PROXY": "other.test", "no_proxy": "example.test"}, PROXY, None),
    ],
)
def test_the_variables_in_both_cases(environ: dict[str, str], https: str | None, http: str | None) -> None:
    proxies = Proxies(environ)
    assert proxies.of("https://example.test/v2/") == https
    assert proxies.of("http://example.test/v2/") == http


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"])
def test_loopback_is_never_asked_through_a_proxy(host: str) -> None:
    assert Proxies({"ALL_PROXY": PROXY}).of(f"http://{host}/v2/") is None
