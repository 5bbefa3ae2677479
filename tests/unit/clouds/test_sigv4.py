"""Signatures, against AWS's published test suite (aws-sig-v4-test-suite) and a published token for EKS."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from datetime import UTC, datetime

import pytest

from lineal.clouds.aws import eks_token
from lineal.clouds.sigv4 import Keys, Scope, canonical_query, signed

KEYS = Keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
SCOPE = Scope("us-east-1", "service", datetime(2015, 8, 30, 12, 36, tzinfo=UTC))
HOST = "example.amazonaws.com"


@pytest.mark.parametrize(
    ("method", "query", "headers", "names", "signature"),
    [
        ("GET", {}, {}, "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", {}, {}, "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "GET",
            {"Param2": "value2", "Param1": "value1"},
            {},
            "host;x-amz-date",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "POST",
            {},
            {"My-Header1": "VALUE1"},
            "host;my-header1;x-amz-date",
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        ),
    ],
    ids=["get-vanilla", "post-vanilla", "get-vanilla-query-order-key-case", "post-header-value-case"],
)
def test_signatures_are_those_of_the_published_suite(
    method: str, query: dict[str, str], headers: dict[str, str], names: str, signature: str
) -> None:
    sent = signed(method, HOST, headers, b"", KEYS, SCOPE, canonical_query(query))
    assert sent["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={names}, Signature={signature}"
    )


def test_the_token_of_a_session_is_signed_too() -> None:
    sent = signed("POST", HOST, {}, b"", Keys(KEYS.access, KEYS.secret, "session"), SCOPE)
    assert sent["X-Amz-Security-Token"] == "session"
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token," in sent["Authorization"]


def test_a_token_for_eks_is_the_url_that_a_published_signer_makes() -> None:
    """The vector is of Signer::AWSv4::EKS (CPAN)."""
    keys = Keys("AKIAKIAKIAKIAKIAKIAK", "1" * 40)
    token = eks_token("scrumptious-wardrobe-1531912697", "", keys, datetime(2018, 7, 23, 14, 57, 7, tzinfo=UTC))
    start, _, coded = token.partition(".")
    assert start == "k8s-aws-v1"
    assert "=" not in coded
    assert urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode() == (
        "https://sts.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&"
        "X-Amz-Credential=AKIAKIAKIAKIAKIAKIAK%2F20180723%2Fus-east-1%2Fsts%2Faws4_request&"
        "X-Amz-Date=20180723T145707Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host%3Bx-k8s-aws-id&"
        "X-Amz-Signature=7a9107b9da0017ba3c84c6331d1aed6afe1de75da6c39ea786c01c31141052a8"
    )
