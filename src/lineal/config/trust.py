"""What `trust:` says: whose stages a commit believes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Annotated, Literal

from msgspec import Meta, Struct

from lineal.config.convert import convert
from lineal.config.document import Path, parse, spell
from lineal.config.rule_violation import RuleViolation
from lineal.errors import BadConfiguration, Location, Problems
from lineal.text import quoted
from lineal.trust.policy import IdentitySigner, KeySigner, Policy

_PROJECT = re.compile(r"[\w.-]+(/[\w.-]+)+", re.ASCII)
_REF = re.compile(r"refs/[^\s~^:?\[\\\x00-\x1f\x7f]+")


class Signer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signer that is believed: give exactly one of `key`, `github` and `gitlab`."""

    key: Annotated[str | None, Meta(description="A public key: a file of the commit, relative to the root.")] = None
    github: Annotated[
        str | None, Meta(description="A repository `owner/name` whose pipelines GitHub vouches for.")
    ] = None
    gitlab: Annotated[str | None, Meta(description="A project `group/name` whose pipelines GitLab vouches for.")] = (
        None
    )
    refs: Annotated[
        list[str],
        Meta(description="The refs that may sign, such as `refs/heads/main` and `refs/tags/*` (default: all)."),
    ] = []
    workflow: Annotated[
        str | None,
        Meta(description="The workflow's file that must have run, relative to its repository (default: any)."),
    ] = None

    def given(self) -> list[str]:
        """Those of the three keys that are given."""
        return [key for key in _KINDS if getattr(self, key) is not None]


_KINDS = ("key", "github", "gitlab")
_ONE = [{"required": [key], "properties": {key: {"type": "string"}}} for key in _KINDS]
OneSigner = Annotated[Signer, Meta(extra_json_schema={"oneOf": _ONE})]


class Trust(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose stages this commit believes. Without it everybody who may push to the store is believed."""

    key: Annotated[
        Literal["required"] | None,
        Meta(description="`required`: protected pipelines have LINEAL_TRUST_KEY, and believe what it has marked."),
    ] = None
    accept: Annotated[list[OneSigner], Meta(description="Signers that are believed.")] = []
    merged: Annotated[
        bool,
        Meta(
            description="Whether what a pull request's pipeline of this repository signed is believed once its "
            "commit is in the history."
        ),
    ] = False
    recompute: Annotated[
        bool,
        Meta(
            description="Whether a COPY, an ADD or metadata is believed without a signature when git gives the same "
            "bits on what is believed (default: true)."
        ),
    ] = True


def policy_of(trust: Trust | None) -> Policy | None:
    """The policy that it says, None for a project that says nothing."""
    if trust is None:
        return None
    accept = tuple(_signer(one) for one in trust.accept)
    return Policy(trust.key == "required", accept, trust.merged, trust.recompute)


class PolicyFile(Struct, frozen=True, kw_only=True):
    """A file beside the commit that says whom to believe: `trust:` as in lineal.yaml. What else it has does not
    count."""

    trust: Trust


def read_policy(text: str, file: str) -> tuple[Policy, Callable[[str], Location]]:
    """What a policy file says, and where a dotted key of it is written. Raises `BadConfiguration`."""
    document = parse(text, file)
    if not isinstance(document.root.value, dict) or "trust" not in document.root.value:
        raise BadConfiguration(
            "The policy says nothing of whom to believe.", id="LN-1056", place=Location(file),
            remedy="Write `trust:` as in lineal.yaml.",
        )  # fmt: skip
    trust = convert(document, PolicyFile).trust
    problems = Problems()
    for broken in check_trust(trust):
        place = document.place(broken.path)
        problems.add(BadConfiguration(broken.message, id="LN-1005", place=place, remedy=broken.remedy))
    problems.end()
    paths = {spell(path): path for path, _ in document.nodes()}
    return policy_of(trust) or Policy(), lambda key: document.place(paths.get(key, ("trust",)))


def check_trust(trust: Trust) -> Iterator[RuleViolation]:
    """The rules that are broken, but for paths of files."""
    if trust.key is None and not trust.accept:
        remedy = "Write `key: required` or `accept: [...]`, or remove `trust`."
        yield RuleViolation(("trust",), "It names nobody to believe.", remedy)
    if trust.merged and not trust.accept:
        message = "`merged` is about signers, and none is named."
        yield RuleViolation(("trust", "merged"), message, "Write `accept: [...]`, or remove `merged`.")
    for index, signer in enumerate(trust.accept):
        yield from _check_signer(signer, ("trust", "accept", index))


def _check_signer(signer: Signer, path: Path) -> Iterator[RuleViolation]:
    if len(signer.given()) != 1:
        few = " and ".join(f"`{key}`" for key in signer.given()) or "nothing that says who it is"
        yield RuleViolation(path, f"The signer has {few}.", "Give exactly one of `key`, `github` and `gitlab`.")
        return
    kind = signer.given()[0]
    if kind == "key":
        for key in (name for name in ("refs", "workflow") if getattr(signer, name)):
            message = "A key says nothing of the pipeline that uses it."
            yield RuleViolation((*path, key), message, f"Remove `{key}`.")
        return
    project = getattr(signer, kind)
    if not _PROJECT.fullmatch(project) or (kind == "github" and project.count("/") != 1):
        yield RuleViolation(
            (*path, kind), f"{quoted(project)} is no project of a forge.", "Write it as `owner/name`."
        )
    for index, ref in enumerate(signer.refs):
        if not _REF.fullmatch(ref):
            message = f"{quoted(ref)} is not a full ref."
            yield RuleViolation((*path, "refs", index), message, "Write it as `refs/heads/main` or `refs/tags/*`.")


def _signer(signer: Signer) -> KeySigner | IdentitySigner:
    if signer.key is not None:
        return KeySigner(signer.key)
    refs = tuple(signer.refs)
    if signer.github is not None:
        return IdentitySigner("github", signer.github, refs, signer.workflow)
    return IdentitySigner("gitlab", signer.gitlab or "", refs, signer.workflow)
