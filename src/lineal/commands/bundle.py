"""`lineal bundle copy`: a bundle and its images in another registry, the images byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineal.deploy.bundle import registry
from lineal.deploy.bundle.bundle import tag_of
from lineal.deploy.bundle.publish import beside
from lineal.deploy.bundle.relocate import Relocation
from lineal.errors import BadConfiguration
from lineal.store.copy import copy_image
from lineal.store.open import is_directory

if TYPE_CHECKING:
    from lineal.oci import Store
    from lineal.session.session import Session

_MOST_NAMED = 5


def copy(run: Session, reference: str, to: str) -> str:
    """Copy the bundle's images into the store `to` and the bundle beside them; its new reference.

    The images come first: a bundle that can be seen can be installed. Raises `LinealError`."""
    address, version = registry.parse(reference)
    if is_directory(to):
        raise BadConfiguration(f"{to} is no registry, and no cluster could install from it.",
                               remedy="Write TO as HOST/REPOSITORY.")  # fmt: skip
    target = run.stores.store(to.removeprefix(registry.SCHEME))
    place = beside(target)
    bundle, manifest = registry.get(_neighbour(run, address, target), version, reference)
    for name, image in bundle.all_images.items():
        source = _neighbour(run, image.repository, target)
        moved = copy_image(image.digest, image.tag, source, target, run.workspace)
        how = f"{moved.mounted} mounted, {moved.streamed} streamed ({moved.size / 1e6:.1f} MB), {moved.there} there"
        run.progress.note(f"{name}  {image.digest}  {how}")
    relocation = Relocation(bundle.all_images, target.address)
    copied = relocation.bundle(bundle)
    left = relocation.left(copied)
    if left:
        more = f" and {len(left) - _MOST_NAMED} more" if len(left) > _MOST_NAMED else ""
        run.progress.warn(f"The copied bundle still names the old place in {', '.join(left[:_MOST_NAMED])}{more}.")
    found = manifest.json.get("annotations")
    source_page = found.get("org.opencontainers.image.source") if isinstance(found, dict) else None
    made = registry.put(place, copied, source_page if isinstance(source_page, str) else None, run.progress.note)
    return f"{registry.SCHEME}{place.address}:{tag_of(copied.version)}@{made.digest}"


def _neighbour(run: Session, address: str, target: Store) -> Store:
    """A repository to read, with the target's credentials where it is on the same registry."""
    return run.stores.image(address, target)[0]
