"""The rules of docker/metadata-action as templates of `publish.tags`."""

from __future__ import annotations

import csv

from lineal.init.build import UNKNOWN
from lineal.oci.reference import is_tag

DEFAULT = ("type=ref,event=branch", "type=ref,event=tag")
"""What it does when no rules are given."""
_PATTERNS = {"{{version}}": "{major}.{minor}.{patch}", "{{raw}}": "{major}.{minor}.{patch}",
             "{{major}}.{{minor}}": "{major}.{minor}", "{{major}}": "{major}"}  # fmt: skip
_DEFAULT_BRANCH = "{{is_default_branch}}"


def template_of(rule: str) -> str | None:
    """The template of one rule; None for a rule that has none."""
    fields = dict(field.strip().partition("=")[::2] for field in next(csv.reader([rule]), []))
    enabled = fields.pop("enable", "true").replace(" ", "")
    fields.pop("priority", None)
    kind = fields.pop("type", None)
    if enabled not in ("true", _DEFAULT_BRANCH) or UNKNOWN in rule:
        return None
    if kind is None:
        kind, fields = "raw", {"value": rule.strip()}
    text = _text(kind, fields)
    if text is None or fields.keys() - {"value", "pattern", "event", "prefix", "branch", "format"}:
        return None
    if enabled == _DEFAULT_BRANCH:
        inner = text.removeprefix("{{ ").removesuffix(" }}") if "{{" in text else repr(text)
        return f"{{{{ {inner} if git.is_default_branch }}}}" if text.count("{{") < 2 and inner != text else None
    return text


def _text(kind: str, fields: dict[str, str]) -> str | None:
    prefix, value = fields.get("prefix"), fields.get("value", "")
    if kind == "sha":
        start = "sha-" if prefix is None else prefix
        return f"{start}{{{{ {'git.commit' if fields.get('format') == 'long' else 'git.short'} }}}}"
    if prefix:
        return None
    if kind == "semver" and not value:
        pattern = _PATTERNS.get(fields.get("pattern", ""))
        return f"{{{{ git.tag | semver('{pattern}') }}}}" if pattern else None
    if kind == "ref":
        return {"branch": "{{ git.branch | slug }}", "tag": "{{ git.tag | slug }}"}.get(fields.get("event", ""))
    if kind == "edge" and "branch" not in fields:
        return "{{ 'edge' if git.is_default_branch }}"
    return value if kind == "raw" and is_tag(value) else None
