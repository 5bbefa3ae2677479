from __future__ import annotations

import pytest

from lineal.init.tag_rules import template_of


@pytest.mark.parametrize(
    ("rule", "template"),
    [
        ("type=semver,pattern={{version}}", "{{ git.tag | semver('{major}.{minor}.{patch}') }}"),
        ("type=semver,pattern={{major}}.{{minor}}", "{{ git.tag | semver('{major}.{minor}') }}"),
        ("type=ref,event=branch", "{{ git.branch | slug }}"),
        ("type=ref,event=tag", "{{ git.tag | slug }}"),
        ("type=sha", "sha-{{ git.short }}"),
        ("type=sha,prefix=,format=long", "{{ git.commit }}"),
        ("type=raw,value=latest,enable={{is_default_branch}}", "{{ 'latest' if git.is_default_branch }}"),
        ("type=edge", "{{ 'edge' if git.is_default_branch }}"),
        ("latest", "latest"),
        ("type=raw,value=a b", None),
        ("type=schedule", None),
        ("type=ref,event=pr", None),
        ("type=semver,pattern={{version}},suffix=-x", None),
        ("type=raw,value=latest,enable=unknown", None),
    ],
)
def test_a_rule_of_docker_metadata_is_a_template(rule: str, template: str | None) -> None:
    assert template_of(rule) == template
