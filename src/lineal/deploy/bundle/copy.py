"""Copies a bundle and its images to another registry, on request with the images of others that it uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lineal.deploy.bundle.bundle import Bundle
from lineal.deploy.bundle.relocate import Relocation
from lineal.deploy.helm.client import Helm
from lineal.deploy.helm.objects import read_objects
from lineal.deploy.helm.values_merge import parsed
from lineal.deploy.image_use import images_of
from lineal.deploy.release import Chart, Release
from lineal.deploy.values import ImageValue
from lineal.errors import BadConfiguration, DeployFailed, LinealError
from lineal.oci import Conflict, Store
from lineal.oci.reference import parse_reference
from lineal.oci.verify import is_digest
from lineal.publish.tag_templates import own_tag
from lineal.session.session import Session
from lineal.store.copy import copy_image
from lineal.store.tags import parse_stage_tag

_MOST_NAMED = 5
_REMEDY = (
    "Publish it with the whole image in one value, as `{{ images.NAME.image }}`, or with `registry` and `repository` "
    "side by side."
)


@dataclass(frozen=True, slots=True)
class BundleCopy:
    """A bundle on its way to the store `target`. `name` is its reference as the user wrote it."""

    session: Session
    bundle: Bundle
    name: str
    target: Store
    helm: Helm | None
    """Without it, images of others are not known."""

    def carry_out(self, all_images: bool) -> Bundle:
        """The bundle with the images at their new place, which are there by then.

        Raises `DeployFailed` when an image would still come from the old place; the bundle is of no use then."""
        for name, image in self.bundle.all_images.items():
            self._own(name, image, self.session.stores.image(image.repository, self.target)[0])
        relocation = Relocation(self.bundle.all_images, self.target.address)
        copied = self._relocated(relocation)
        images = self._images(copied)
        others = [image for image in images or () if not self._is_here(image)]
        if all_images:
            relocation = Relocation(self.bundle.all_images, self.target.address, dict(self._others(others)))
            copied = self._relocated(relocation)
            images = self._images(copied)
        self._check(relocation, copied, images, all_images)
        return copied

    def _own(self, name: str, image: ImageValue, source: Store) -> None:
        """Copy an image of the bundle. A finished one may come from a repository of its own, whose tags are others'
        in the target: it has a tag of its content there, and its own where that is free."""
        if parse_stage_tag(image.tag):
            self._image(name, image.digest, image.tag, source, self.target)
            return
        self._image(name, image.digest, own_tag(image.digest).name, source, self.target)
        manifest, there = self.target.manifest(image.digest), self.target.digest(image.tag)
        if there is None and manifest is not None:
            with suppress(Conflict):
                self.target.put_manifest(manifest, image.tag)
            there = self.target.digest(image.tag)
        if there != image.digest:
            self.session.progress.warn(
                f"{self.target.address}:{image.tag} stays {there}: the image {name} is there by its digest alone."
            )

    def _relocated(self, relocation: Relocation) -> Bundle:
        with self._scratch() as scratch:
            helm = self.helm
            number = iter(range(10_000))

            def read(data: bytes) -> dict[str, object]:
                assert helm is not None
                return parsed(helm, data, scratch / str(next(number)))

            return relocation.bundle(self.bundle, None if helm is None else read)

    def _images(self, bundle: Bundle) -> list[str] | None:
        """The images that its manifests use with no other values than its own; None when that cannot be told."""
        if self.helm is None:
            self._warn_unknown("there is no helm that renders it")
            return None
        with self._scratch() as scratch:
            chart = scratch / "bundle.tgz"
            chart.write_bytes(bundle.archive())
            release = Release(name="bundle", namespace="bundle", chart=Chart(str(chart), self.name))
            try:
                return images_of(read_objects(self.helm.template(release)))
            except (DeployFailed, BadConfiguration) as error:
                self._warn_unknown(error.message.rstrip("."))
                return None

    def _warn_unknown(self, why: str) -> None:
        self.session.progress.warn(f"Which images of others the bundle uses is not known: {why}.")

    def _others(self, images: list[str]) -> Iterator[tuple[str, str]]:
        """Copy images of others below the target; their references, old and new."""
        for image in images:
            try:
                source, version = self.session.stores.image(image, self.target)
                _, repository, _ = parse_reference(image)
            except BadConfiguration:
                continue  # `_check` tells of it
            target = self.target.sibling(f"{self.target.address.partition('/')[2]}/{repository}")
            assert target is not None, "it is in a registry"
            digest = version if is_digest(version) else source.digest(version)
            if digest is None:
                what = f"The image {image}, which the bundle uses, is not in {source.address}."
                raise DeployFailed(what, id="LN-7007", remedy="Leave --all-images out, or correct the bundle.")
            tag = _tag(image, version)
            if is_digest(version) or target.digest(tag) is None:  # a tag of others moves; what was copied once stays
                self._image(image, digest, tag, source, target)
            yield image, f"{target.address}{image[len(_without_version(image)) :]}"

    def _image(self, name: str, digest: str, tag: str, source: Store, target: Store) -> None:
        moved = copy_image(digest, tag, source, target)
        how = f"{moved.mounted} mounted, {moved.streamed} streamed ({moved.size / 1e6:.1f} MB), {moved.there} there"
        self.session.progress.note(f"{name}  {digest}  {how}")

    def _check(self, relocation: Relocation, copied: Bundle, images: list[str] | None, all_images: bool) -> None:
        """Raises for images that are not at the new place, and tells of those that were not to go there."""
        broken = relocation.broken(copied, images)
        others = [image for image in images or () if image not in broken and not self._is_here(image)]
        if broken or (all_images and (others or images is None)):
            what = f"The copied bundle would still use the old place: {_listed(broken or others or ['unknown'])}."
            raise DeployFailed(what, id="LN-7010", remedy=_REMEDY)
        left = relocation.left(copied)
        if left:
            self.session.progress.warn(f"The copied bundle still names the old place in {_listed(left)}.")
        if others:
            self.session.progress.warn(
                f"The bundle uses images of others, which stay where they are: {_listed(others, len(others))}. "
                "`--all-images` copies them too."
            )

    def _is_here(self, image: str) -> bool:
        return image.startswith((f"{self.target.address}:", f"{self.target.address}@", f"{self.target.address}/"))

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        import tempfile

        with tempfile.TemporaryDirectory(dir=self.session.workspace) as scratch:
            yield Path(scratch)


def _tag(image: str, version: str) -> str:
    """The tag for a copy: the image's own, or one that says its digest."""
    said = _without_digest(image)
    last = said.rpartition("/")[2]
    return last.partition(":")[2] or ("latest" if not is_digest(version) else version.replace(":", "-"))


def _without_digest(image: str) -> str:
    return image.partition("@")[0]


def _without_version(image: str) -> str:
    head, slash, last = _without_digest(image).rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def _listed(names: list[str], most: int = _MOST_NAMED) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def find_helm(session: Session, needed: bool) -> Helm | None:
    """The helm that renders a bundle; None when there is none and it is not `needed`."""
    if needed:
        return Helm.find(session.settings.environ)
    with suppress(LinealError):
        return Helm.find(session.settings.environ)
    return None
