"""The SBOM of an image as stages: a scanner's image, and its run over the files of the image.

BuildKit's protocol, for every scanner made for it (moby/buildkit, docs/attestations/sbom-protocol.md): the scanner
finds the files of the image at a path, read-only, and writes SPDX documents into a directory."""

from __future__ import annotations

from lineal.dockerfile.instructions import FromInstruction, MetadataInstruction, RunInstruction
from lineal.dockerfile.run_mounts import RunMount
from lineal.dockerfile.scope import Scope
from lineal.dockerfile.stage import Stage
from lineal.errors import BadConfiguration, Location
from lineal.oci.reference import parse_reference
from lineal.text import printable

OUTPUT = "/run/out"
"""The directory that the scanner writes to."""
_FILES = "/run/src/core/sbom"
"""Where it finds the files; the last part names the document that it is to write."""
_SCANNED = "scanned"
_TARGET = "sbom"


def scan(image: str, last: Stage, scanner: str, place: Location) -> Stage:
    """The stage whose last layer has the documents of an image for one platform, by its last stage there. Metadata is
    no file: an image of which only that changes is not scanned again.

    `scanner` is the reference of the scanner's image. Raises `BadConfiguration` for what is none."""
    try:
        parse_reference(scanner)
    except BadConfiguration as error:
        error.place = place
        raise
    files = last.last_with_files()
    base = Stage(
        op=FromInstruction(scanner),
        image=image,
        target=_TARGET,
        place=place,
        text=f"FROM {printable(scanner)}",
        parent=None,
        inputs={"from": scanner, "platform": last.platform, "cache_version": ""},
        scope=Scope(),
        platform=last.platform,
        several=last.several,
    )
    env = ("BUILDKIT_SCAN_DESTINATION", f"{OUTPUT}/", "BUILDKIT_SCAN_SOURCE", _FILES)
    # As in BuildKit, whatever user the scanner's image names: files of the image are not everybody's to read.
    metadata = (
        MetadataInstruction("ENV", place, env, text=f"ENV {' '.join(env)}"),
        MetadataInstruction("USER", place, ("0:0",), text="USER 0:0"),
    )
    command = RunInstruction(
        place=place,
        words=(),
        exec_form=True,
        script=None,
        mounts=(RunMount("bind", _FILES, source_stage=_SCANNED), RunMount("tmpfs", "/tmp")),  # noqa: S108
        network="default",
        output=OUTPUT,
    )
    return Stage(
        op=command,
        image=image,
        target=_TARGET,
        place=place,
        text=f"SBOM by {printable(scanner)}",
        parent=base,
        inputs={
            **command.canonical(),
            "metadata": [meta.canonical() for meta in metadata],
            "scanned": None if files.is_empty else files.checksum,
        },
        scope=Scope(),
        metadata=metadata,
        sources={} if files.is_empty else {_SCANNED: files},
        platform=last.platform,
        several=last.several,
    )
