"""The statements about a finished image: its provenance and its SBOM, put beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from lineal.build.result import BuildResult
from lineal.errors import LinealError
from lineal.publish.provenance import provenance_of
from lineal.publish.referrer import state
from lineal.publish.sbom import sboms_of
from lineal.stages.candidate import Candidate
from lineal.store.statement import PROVENANCE, SPDX
from lineal.trust.chain import chain, link

if TYPE_CHECKING:
    from lineal.oci.types import Manifest
    from lineal.publish.publish import Placement
    from lineal.session.session import Session


def put_statements(session: Session, place: Placement, result: BuildResult) -> None:
    """Put the image's provenance and SBOM beside it, signed where the run has a key. A registry that takes none keeps
    no image from being published."""
    signing, sboms = session.signing, result.plan.sboms.get(place.image, {})

    def put(kind: str, image: Manifest, say: Callable[[], Sequence[bytes]]) -> None:
        state(place.repository.store, image, signing.signers, say, kind)

    # What is said of an index is said of its images.
    parts = zip(result.stages()[place.image].items(), place.images, strict=True)
    for (platform, candidate), image in parts:
        scan = result.candidate(sboms[platform]) if platform in sboms else None
        try:
            if session.publications[place.image].provenance:
                put(PROVENANCE, image, partial(_provenance, session, place.image, image, candidate))
            if scan is not None:
                put(SPDX, image, partial(sboms_of, place.image, image.digest, scan, session.store))
        except LinealError as error:
            session.progress.warn(
                f"{place.repository.address} has not all statements about {place.image}. {error.words}"
            )


def _provenance(session: Session, name: str, image: Manifest, candidate: Candidate) -> list[bytes]:
    store, judge = session.store, session.trust.judge
    last = link(store, candidate.tag, candidate.record.checksum)
    stages = list(chain(store, last)) if last is not None else []
    stages = [one if judge.vouches(one.index, one.record, store) else one.without_claims() for one in stages]
    statement = provenance_of(name, image.digest, stages)
    return [] if statement is None else [statement]
