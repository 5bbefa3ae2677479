"""`lineal verify`: what an image rests on, down to its base, for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lineal import __version__
from lineal.commands.output import show
from lineal.commands.verify_bundle import is_bundle, verify_bundle
from lineal.deploy.bundle.registry import SCHEME
from lineal.errors import BadConfiguration, LinealError
from lineal.oci.image import encode
from lineal.oci.types import OCI_MANIFEST, Manifest, sha256
from lineal.oci.verify import digest_of
from lineal.store.open import LAYOUT, is_directory
from lineal.store.record import Record, image_digest
from lineal.text import printable

if TYPE_CHECKING:
    from lineal.dockerfile.stage import Stage
    from lineal.oci import Store
    from lineal.publish.verification import Finding, Verification
    from lineal.session.session import Session
    from lineal.trust.chain import Link

FORGED, ON_NOTHING = 1, 2
"""Exit codes: something is not what it claims to be; something rests on nobody's word."""
_CODES = {"forged": FORGED, "unvouched": ON_NOTHING}
_COMMITS = 50
"""Commits that are planned in search of stages."""


def verify(session: Session, reference: str, format: str, *, attest: bool = False) -> int:
    """The whole command; its exit code. `attest` says of an image that is verified that it is, with the run's key.
    Raises `LinealError`."""
    if attest:
        _require_key(session)
    place, version = _place(session, reference)
    manifest = place.manifest(version)
    if manifest is None:
        raise BadConfiguration(
            f"There is no image {printable(reference)}.",
            id="LN-1049",
            remedy="Name it as `lineal build` prints it, or by a tag in its final repository.",
        )
    if is_bundle(manifest):
        if attest:
            raise BadConfiguration(
                "A summary is of an image, and this is a bundle.", id="LN-1064", remedy="Leave --attest out."
            )
        return _CODES.get(verify_bundle(session, place, version, reference, format), 0)
    verification = _verification(session)
    found = [(one, _chain(session, verification, place, one)) for one in _images(place, manifest, reference)]
    show(_as_json(reference, found) if format == "json" else _as_tree(reference, found))
    kinds = {finding.kind for _, chain in found for one in chain for finding in one.every()}
    if "forged" in kinds:
        return FORGED
    if "unvouched" in kinds or not all(chain for _, chain in found):
        return ON_NOTHING
    if attest:
        for one in dict.fromkeys([manifest, *(image for image, _ in found)]):
            _attest(session, place, one)
    return 0


def _require_key(session: Session) -> None:
    session.signing.check()
    if not session.signing.signers:
        raise BadConfiguration(
            "A summary is signed, and this run has no LINEAL_SIGNING_KEY, nor an identity that its commit accepts.",
            id="LN-1064",
            remedy="Give it the key that the cluster's policy names, or leave --attest out.",
        )


def _attest(session: Session, place: Store, image: Manifest) -> None:
    """Put a summary beside an image that this run has verified."""
    from lineal.publish.referrer import state
    from lineal.publish.summary import SUMMARY, summary

    def said() -> list[bytes]:
        return [summary(place.address, image.digest, session.policy.told(), __version__, place.now())]

    state(place, image, session.signing.signers, said, SUMMARY)
    session.progress.note(f"{place.address}@{image.digest} has a summary of its verification.")


def _place(session: Session, reference: str) -> tuple[Store, str]:
    """The repository of an image, and its tag or digest there. Raises `BadConfiguration`."""
    if not is_directory(reference):
        return session.stores.base(reference.removeprefix(SCHEME), session.store)
    name, _, digest = reference.partition("@")
    folder, _, tag = name.removeprefix(LAYOUT).rpartition(":")
    return session.own_stores.final(LAYOUT + folder), digest or tag


def _images(place: Store, manifest: Manifest, reference: str) -> list[Manifest]:
    """The images that people get by this name: one, or those of an index's platforms. Raises `BadConfiguration`."""
    if not manifest.is_index:
        return [manifest]
    try:
        entries = manifest.json["manifests"]
        named = [entry for entry in entries if (entry.get("platform") or {}).get("os") not in (None, "unknown")]
        found = [place.manifest(digest_of(entry)) for entry in named]
    except (ValueError, LookupError, TypeError, AttributeError):
        found = []
    if not found or None in found:
        raise BadConfiguration(
            f"{printable(reference)} is an index that names no image, or one that is gone.",
            id="LN-1049",
            remedy="Build and publish the image again, or name it by a digest that is whole.",
        )
    return [one for one in found if one is not None]


def _chain(session: Session, verification: Verification, place: Store, image: Manifest) -> tuple[Finding, ...]:
    """The findings of an image, the last stage first; none where no stage of the store is this image."""
    last = _last_stage(session, place, image)
    return verification.chain(last) if last is not None else ()


def _last_stage(session: Session, place: Store, image: Manifest) -> Link | None:
    """The stage that has this image's layers and configuration. Who names it does not matter: it has its digest."""
    from lineal.trust.chain import link

    try:
        parts = {"config": image.json["config"], "layers": image.json["layers"]}
    except KeyError:
        return None
    bare = sha256(encode({"schemaVersion": 2, "mediaType": OCI_MANIFEST, **parts}))
    for tag, checksum in _named(session, place, image, bare):
        found = link(session.store, tag, checksum)
        if found is not None and found.image == bare:
            return found
    return None


def _named(session: Session, place: Store, image: Manifest, bare: str) -> list[tuple[str, str]]:
    """Tags and checksums of stages that may be it: those of its provenance, then those of this commit."""
    from lineal.publish.referrer import statements

    found = []
    for document in statements(place, image.digest):
        try:
            for one in document["predicate"]["buildDefinition"]["resolvedDependencies"]:
                if one.get("name") == "stage" and f"sha256:{one['digest'].get('sha256')}" == bare:
                    found.append((str(one["annotations"]["tag"]), str(one["annotations"]["checksum"])))
        except (LookupError, TypeError, AttributeError):
            continue
    if not found:
        checksums = list(_planned_now(session))
        resolved = session.lookup.find(checksums)
        candidates = [one.candidate for one in resolved.values() if one.candidate is not None]
        found = [(one.tag, one.record.checksum) for one in candidates if image_digest(one.index) == bare]
    return found


def _verification(session: Session) -> Verification:
    from lineal.commands.environment import private_environment
    from lineal.publish.verification import Verification

    environment = private_environment(session)
    marks = [session.trust.marks] if session.trust.marks else []
    commits: dict[str, Mapping[str, Stage]] = {session.repository.commit: _planned_now(session)}

    def planned(record: Record) -> Mapping[str, Stage]:
        if record.checksum in commits[session.repository.commit]:
            return commits[session.repository.commit]
        for commit in _in_history(session, record):
            if commit not in commits and len(commits) < _COMMITS:
                commits[commit] = _planned_at(session, commit)
            if record.checksum in commits.get(commit, {}):
                return commits[commit]
        return {}

    return Verification(environment, [*marks, *session.trust.verifiers], session.trust.repository, planned)


def _planned_now(session: Session) -> Mapping[str, Stage]:
    from lineal.dockerfile.images import read_images
    from lineal.dockerfile.stage import closure

    graphs = read_images(
        session.repository, session.loaded, [], session.giterminism, session.notes, trusted=False,
        artifacts=session.artifacts,
    )  # fmt: skip
    return {stage.checksum: stage for stage in closure(list(graphs.last.values()))}


def _in_history(session: Session, record: Record) -> Sequence[str]:
    """The commits of a record, where all are in this history: whoever wrote the record may name any."""
    from lineal.git.history import Ancestry
    from lineal.stages.visibility import judge

    (verdict,) = judge([record], session.position, session.history)
    return record.commits if verdict.answer is Ancestry.YES else ()


def _planned_at(session: Session, commit: str) -> Mapping[str, Stage]:
    """The stages of an earlier commit; none where it cannot be planned any more."""
    from lineal.config.template import GitFacts
    from lineal.dockerfile.images import read_images
    from lineal.dockerfile.stage import closure
    from lineal.session.project import load_exceptions, load_project

    try:
        repository = session.checkout.at(commit, fetch=False)
        if repository is None:
            return {}
        exceptions = load_exceptions(repository)
        facts = GitFacts(commit, commit[:7], session.context.branch, None, session.context.default_branch)
        grants = session.given.templates(exceptions)
        loaded = load_project(repository, session.settings, facts, exceptions, grants)
        graphs = read_images(repository, loaded or session.loaded, exceptions=exceptions, trusted=False)
        return {stage.checksum: stage for stage in closure(list(graphs.last.values()))}
    except LinealError:
        return {}


_TITLES = {
    "proved": "proved", "signed": "signed", "base": "base", "unvouched": "NOBODY VOUCHES", "forged": "FORGED",
}  # fmt: skip


def _as_tree(reference: str, found: Sequence[tuple[Manifest, Sequence[Finding]]]) -> str:
    lines = []
    for image, chain in found:
        lines.append(f"{printable(reference)} {image.digest}")
        lines += _lines(chain, 1)
        if not chain:
            lines.append("  NOBODY VOUCHES  no stage of the store is this image")
    return "".join(f"{line}\n" for line in lines)


def _lines(chain: Sequence[Finding], depth: int) -> list[str]:
    found = []
    for one in chain:
        said = printable(one.instruction, 60) or one.link.record.checksum[:12]
        found.append(f"{'  ' * depth}{_TITLES[one.kind]:<15} {said}: {printable(one.reason)}")
        for source in one.sources:
            found += _lines(source, depth + 1)
    return found


def _as_json(reference: str, found: Sequence[tuple[Manifest, Sequence[Finding]]]) -> str:
    images = [{"digest": image.digest, "stages": [_told(one) for one in chain]} for image, chain in found]
    return json.dumps({"reference": reference, "images": images}, indent=2) + "\n"


def _told(one: Finding) -> dict[str, Any]:
    record = one.link.record
    return {
        "verdict": one.kind,
        "reason": one.reason,
        "instruction": one.instruction,
        "checksum": record.checksum,
        "tag": one.link.tag,
        "digest": one.link.image,
        "commits": list(record.commits),
        "sources": [[_told(each) for each in chain] for chain in one.sources],
    }
