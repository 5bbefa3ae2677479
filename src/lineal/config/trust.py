"""What `trust:` says: whose stages a commit believes."""

import re
from collections.abc import Callable, Iterator
from typing import Annotated, Literal

from msgspec import Meta, Struct

from lineal.config.convert import convert
from lineal.config.document import Path, parse, spell
from lineal.config.rule_violation import RuleViolation
from lineal.errors import BadConfiguration, Location, Problems
from lineal.regex import regex
from lineal.text import quoted
from lineal.trust.policy import IdentitySigner, KeySigner, Policy

_PROJECT = regex(r"(?:https://[\w.-]+(?::[0-9]+)?/)?([\w.-]+(?:/[\w.-]+)+)", re.ASCII)
_WORKFLOW = regex(r"[\w./-]*[\w-]\.ya?ml(@[^\s@]+)?", re.ASCII)
_REF = regex(r"refs/[^\s~^:?\[\\\x00-\x1f\x7f]+")


class Signer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signer that is believed: give exactly one of `key`, `github` and `gitlab`."""

    key: Annotated[str | None, Meta(description="A public key: a file of the commit, relative to the root.")] = None
    github: Annotated[
        str | None,
        Meta(
            description="A repository `owner/name` whose pipelines GitHub vouches for; of a server of your own "
            "`https://HOST/owner/name`."
        ),
    ] = None
    gitlab: Annotated[
        str | None,
        Meta(
            description="A project `group/name` whose pipelines GitLab vouches for; of a server of your own "
            "`https://HOST/group/name`."
        ),
    ] = None
    refs: Annotated[
        list[str],
        Meta(
            description="The refs that may sign, such as `refs/heads/main` and `refs/tags/*`: `*` is anything but a "
            "slash, `**` anything (default: all)."
        ),
    ] = []
    workflow: Annotated[
        str | None,
        Meta(
            description="The file that must define the job: a path of the project, or one of another repository "
            "with that before it (`owner/ci/.github/workflows/build.yml`); `@REF` behind it says where it must come "
            "from (default: any file)."
        ),
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
            description="Whether a COPY, an ADD, metadata or a base that is named by its digest is believed without "
            "a signature when the commit gives the same bits on what is believed (default: true)."
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
    project = _PROJECT.fullmatch(getattr(signer, kind))
    if project is None or (kind == "github" and project[1].count("/") != 1):
        message = f"{quoted(getattr(signer, kind))} is no project of a forge."
        yield RuleViolation((*path, kind), message, "Write it as `owner/name` or `https://HOST/owner/name`.")
    if signer.workflow is not None and not _WORKFLOW.fullmatch(signer.workflow):
        message = f"{quoted(signer.workflow)} is no file of a pipeline."
        yield RuleViolation((*path, "workflow"), message, "Write it as `.github/workflows/build.yml`, with `@REF` "
                            "behind it where it has to come from one ref.")  # fmt: skip
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
