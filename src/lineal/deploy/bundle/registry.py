"""Bundles in a registry: each gets its version and its commit as tags, and is never replaced."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from lineal.deploy.bundle.bundle import CHART, CONFIG, OLD_CHART, Bundle, tag_of
from lineal.deploy.bundle.vouched import EVERYBODY, Vouchers, require_version, require_vouched
from lineal.deploy.helm.chart_archive import MOST, unpack
from lineal.errors import BadConfiguration, DeployFailed, MissingContent
from lineal.oci import Conflict, Store
from lineal.oci.image import read_blob
from lineal.oci.reference import parse_address, parse_reference
from lineal.oci.types import Manifest
from lineal.oci.verify import is_digest
from lineal.text import quoted

SCHEME = "oci://"


def parse(reference: str) -> tuple[str, str]:
    """`[oci://]HOST/REPOSITORY:VERSION` or `…@sha256:…` as the repository, and a tag or digest in it.

    Raises `BadConfiguration` for one that does not say which bundle: `latest` is another one tomorrow."""
    plain = reference.removeprefix(SCHEME)
    name, at, digest = plain.partition("@")
    head, slash, rest = name.rpartition("/")
    repository, _, version = rest.partition(":")
    if not slash or "://" in plain:
        what = f"{quoted(reference)} is not a bundle in a registry."
        raise BadConfiguration(what, id="LN-7004", remedy="Write it as `oci://HOST/REPOSITORY:VERSION`.")
    if not version and not at:
        what = f"The bundle {quoted(reference)} has no version, so every run might install another one."
        raise BadConfiguration(what, id="LN-7004", remedy=f"Write `{reference}:VERSION`, or `@sha256:…` behind it.")
    address = f"{head}/{repository}"
    parse_reference(f"{address}@{digest}" if at else f"{address}:{tag_of(version)}")
    parse_address(address)
    return address, digest or tag_of(version)


def get(store: Store, version: str, name: str, vouchers: Vouchers = EVERYBODY) -> tuple[Bundle, Manifest]:
    """The bundle at a tag or digest. `name` is the reference as the user wrote it. Raises `DeployFailed` when it is
    none, or one that the `vouchers` do not vouch for: before anything of it is read."""
    manifest = store.manifest(version)
    if manifest is None:
        what = f"There is no bundle {quoted(name)}."
        raise DeployFailed(what, id="LN-7005", remedy="Check repository and version, or run `lineal bundle publish`.")
    require_vouched(vouchers, store, manifest, name)
    digest = _chart(manifest)
    if digest is None:
        what = f"{quoted(name)} is no Helm chart."
        raise DeployFailed(what, id="LN-7006", remedy="Give the reference that `lineal bundle publish` printed.")
    try:
        directory, files = unpack(read_blob(store, digest, MOST), name)
    except MissingContent:
        what = f"The chart of the bundle {quoted(name)} is missing in its registry."
        raise DeployFailed(what, id="LN-7007", remedy="Publish the bundle again under another version.") from None
    bundle = Bundle(directory, files)
    _ = bundle.values
    require_version(vouchers, manifest, bundle, version, name)
    return bundle, manifest


def _chart(manifest: Manifest) -> str | None:
    """The digest of a chart's archive, None when the manifest is no chart."""
    config: Any = manifest.json.get("config")
    if manifest.is_index or not isinstance(config, dict) or config.get("mediaType") != CONFIG:
        return None
    layers = [layer for layer in manifest.json.get("layers", []) if isinstance(layer, dict)]
    found = [layer.get("digest") for layer in layers if layer.get("mediaType") in (CHART, OLD_CHART)]
    return str(found[0]) if len(found) == 1 and is_digest(str(found[0])) else None


def check_free(store: Store, bundle: Bundle, source: str | None) -> None:
    """Raises `DeployFailed` when the version is another bundle already: people who installed that must find it
    again."""
    there = store.digest(tag_of(bundle.version))
    if there not in (None, bundle.documents(source)[2].digest):
        raise _taken(store, bundle, str(there))


def put(store: Store, bundle: Bundle, source: str | None, note: Callable[[str], None]) -> Manifest:
    """Publish a bundle under its version, and under its commit unless the commit has another bundle already; signed,
    where the run signs. Raises as `check_free`."""
    config, chart, manifest = bundle.documents(source)
    version = tag_of(bundle.version)
    check_free(store, bundle, source)
    if store.digest(version) is not None:
        note(f"The bundle {bundle.version} is published already.")
        if bundle.sign is not None:
            bundle.sign(store, manifest)
    else:
        for blob in (config, chart):
            store.put_blob(blob)
        if bundle.sign is not None:
            # Whoever sees its tag sees its signature.
            store.put_manifest(manifest)
            bundle.sign(store, manifest)
        _tag(store, bundle, manifest, version)
    named = store.digest(bundle.commit)
    if named is None:
        _tag(store, bundle, manifest, bundle.commit)
    elif named != manifest.digest:
        note(f"The tag {bundle.commit} stays with the bundle that was published first for this commit.")
    return manifest


def list_in(store: Store, bundle: Bundle, source: str | None) -> None:
    """Put a bundle into the list of all bundles of a store too, where cleanup looks for the images they need.

    There it has a tag that no other bundle can have, and those of its version and commit unless others have them. The
    former is not `sha256-<digest>`: that has the list of what is said of it, where the registry keeps none."""
    config, chart, manifest = bundle.documents(source)
    for blob in (config, chart):
        store.put_blob(blob)
    free = [tag for tag in (tag_of(bundle.version), bundle.commit) if store.digest(tag) is None]
    for tag in (f"bundle-{manifest.digest.partition(':')[2]}", *free):
        with suppress(Conflict):
            store.put_manifest(manifest, tag)


def _tag(store: Store, bundle: Bundle, manifest: Manifest, tag: str) -> None:
    with suppress(Conflict):
        store.put_manifest(manifest, tag)
    # A registry may let a second writer move the tag: the last look tells what it names now.
    there = store.digest(tag)
    if there != manifest.digest:
        raise _taken(store, bundle, there or "nothing")


def _taken(store: Store, bundle: Bundle, there: str) -> DeployFailed:
    what = (
        f"The version {bundle.version} of the bundle is published in {store.address} with other contents ({there}), "
        "and a published version never changes."
    )
    return DeployFailed(what, id="LN-7008", remedy="Give another one with `--version`.")
