"""Where the policy of a run is from: the commit, or a file that whoever runs it names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineal.config.load import LoadedProject
from lineal.config.trust import policy_of, read_policy
from lineal.context.committed import MAX_TEXT
from lineal.errors import BadConfiguration, Location
from lineal.git.commit import Commit
from lineal.oci.types import sha256
from lineal.store.statement import digest_set
from lineal.text import quoted
from lineal.trust.keys import MAX_KEY
from lineal.trust.policy import IdentitySigner, KeySigner, Policy
from lineal.value import dataclass

if TYPE_CHECKING:
    from lineal.trust.keys import PublicKey


@dataclass(frozen=True)
class PolicyOfRun:
    policy: Policy | None
    read: Callable[[str], bytes | None]
    """The content of a key's file, None where there is none."""
    place: Callable[[str], Location | None]
    """Where a dotted key, such as `trust.accept`, is written."""
    told: Callable[[], Mapping[str, Any]] = dict
    """What others are told of it: `uri` and `digest`, as in-toto writes them."""


def of_commit(loaded: LoadedProject, commit: Commit) -> PolicyOfRun:

    def told() -> Mapping[str, Any]:
        from lineal.git.remote import web_address

        return {"uri": f"git+{web_address(commit) or 'local'}#{loaded.file}", "digest": {"gitCommit": commit.commit}}

    return PolicyOfRun(policy_of(loaded.project.trust), commit.file, loaded.place, told)


def of_file(path: Path, name: str) -> PolicyOfRun:
    """Keys are found from the folder of the file. Raises `BadConfiguration`."""
    try:
        text = _content(path, MAX_TEXT).decode()
    except (OSError, ValueError):
        raise BadConfiguration(
            f"The policy {quoted(name)} cannot be read.", id="LN-1056", remedy="Give the path of a text file."
        ) from None

    def read(key: str) -> bytes | None:
        try:
            return _content(path.parent / key, MAX_KEY)
        except (OSError, ValueError):
            return None

    policy, place = read_policy(text, name)
    told = {"uri": path.name, "digest": digest_set(sha256(text.encode()))}
    return PolicyOfRun(policy, read, place, lambda: told)


def _content(path: Path, most: int) -> bytes:
    """Raises OSError, and ValueError for a larger file: a part of a policy may say more than the whole."""
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError("too large")
    return content


def accepted_keys(found: PolicyOfRun) -> list[PublicKey]:
    """The public keys of a policy, in its order. Raises `BadConfiguration`."""
    from lineal.trust.keys import read_public_key

    keys = []
    for number, signer in enumerate(found.policy.accept if found.policy is not None else ()):
        if isinstance(signer, KeySigner):
            place = found.place(f"trust.accept[{number}].key")
            data = found.read(signer.path)
            if data is None:
                raise BadConfiguration(
                    f"There is no file {signer.path}, whose key is accepted.",
                    id="LN-1048",
                    place=place,
                    remedy="Add the public key, in a commit where the policy is a commit's, or correct the path.",
                )
            keys.append(read_public_key(data, signer.path, place))
    return keys


def require_narrower(given: PolicyOfRun, asked: PolicyOfRun) -> None:
    """Make sure that who names a policy for a run of a commit believes nobody whom the commit does not. Raises
    `BadConfiguration`."""
    if asked.policy is None or given.policy is None:
        return
    more = next(_more(given, asked, given.policy, asked.policy), None)
    if more is not None:
        raise BadConfiguration(
            f"The policy that this run was given believes {more}, and the commit's own does not.",
            id="LN-1067",
            place=asked.place("trust"),
            remedy="Here it may only believe less than the commit: change `trust` in a commit, or give another one.",
        )


def _more(given: PolicyOfRun, asked: PolicyOfRun, mine: Policy, own: Policy) -> Iterator[str]:
    """What one policy believes beyond the other."""
    if own.key_required and not mine.key_required:
        yield "what no key of protected pipelines has marked"
    if mine.recompute and not own.recompute:
        yield "what git proves (`recompute`)"
    if mine.merged and not own.merged:
        yield "what pull requests have signed (`merged`)"
    accepted = {one.der for one in accepted_keys(asked)}
    yield from (quoted(one.name) for one in accepted_keys(given) if one.der not in accepted)
    pipelines = [one for one in own.accept if isinstance(one, IdentitySigner)]
    for signer in (one for one in mine.accept if isinstance(one, IdentitySigner)):
        if not any(one.includes(signer, merged=mine.merged) for one in pipelines):
            yield f"pipelines of {quoted(signer.project)} with other `refs` or another `workflow`"
