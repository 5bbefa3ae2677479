"""A bundle: a chart whose values are those of one commit, digests included. Its documents are what Helm reads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lineal.deploy.helm.chart_archive import pack
from lineal.deploy.values import ImageValue
from lineal.errors import BadConfiguration, DeployFailed
from lineal.oci import Store
from lineal.oci.image import encode
from lineal.oci.types import OCI_MANIFEST, Blob, Descriptor, Manifest
from lineal.oci.verify import is_digest
from lineal.store.record import PREFIX
from lineal.text import printable, quoted

CONFIG = "application/vnd.cncf.helm.config.v1+json"
CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
OLD_CHART = "application/tar+gzip"
"""The media type of charts from Helm before 3.8."""
ENCRYPTED = "lineal/sealed/"
"""The folder of encrypted values files in a bundle. They are never decrypted to publish them."""
ABOUT = "lineal/about.json"
"""The project, commit and images of a bundle whose values do not hold them (`deploy.global`)."""
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?"
    r"(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_VALUES = re.compile(r"((?:charts/[A-Za-z0-9._-]+/)*)values\.yaml")
_STRANGE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_LONGEST_LINE = 40
"""Characters of a branch's name in a version: a tag takes 128 in all."""
_TITLES = ("apiVersion", "name", "version", "appVersion", "description", "type")


def check_version(version: str) -> str:
    """The version. Raises `BadConfiguration` when Helm would not take it."""
    if len(version) > 128 or not _SEMVER.fullmatch(version):
        what = f"{quoted(version)} is not a version that Helm takes."
        raise BadConfiguration(what, id="LN-7001", remedy="Write it as 1.2.3 or 1.2.3-rc.1 (semantic versioning).")
    return version


def tag_of(version: str) -> str:
    """The version as a tag. Tags have no `+`; Helm writes and reads it as `_`."""
    return version.replace("+", "_")


def tagged_version(git_tag: str | None) -> str | None:
    """The version that a tag of git names (`v1.2.3`), None for none."""
    named = (git_tag or "").rpartition("/")[2].removeprefix("v")
    return named if _SEMVER.fullmatch(named) else None


def commit_version(chart_version: str, line: str, count: int, commit: str) -> str:
    """The version of a commit that no tag names: the chart's with the number of commits of its history, so that
    later ones are higher: `0.1.0-214.g4fc9ee4ca821`.

    `line` is the branch when that is not the default one: `0.1.0-0.fix-login.9.g…` is below each version of the
    default branch, so that a range (`>=0.1.0-0`) follows that one. Raises `BadConfiguration`."""
    core, plus, _build = chart_version.partition("+")
    del plus
    parts = [*(["0", _word(line)] if line else []), str(count), f"g{commit[:12]}"]
    return check_version(f"{core}{'.' if '-' in core else '-'}{'.'.join(parts)}")


def _word(line: str) -> str:
    """A branch's name as a part of a version, never a number."""
    word = re.sub(r"[^0-9a-z]+", "-", line.lower()).strip("-")[:_LONGEST_LINE].rstrip("-")
    return f"b{word}" if not word or word.isdecimal() else word


@dataclass(frozen=True, slots=True)
class Part:
    """A bundle, or one that it depends on."""

    values: dict[str, Any]
    about: dict[str, Any]
    """Its `project`, `commit` and `images`."""

    def images(self, prefix: str) -> dict[str, ImageValue]:
        told = self.about["images"]
        return {
            f"{prefix}{name}": ImageValue.of(told[name]["repository"], told[name]["tag"], told[name]["digest"])
            for name in sorted(told)
        }


@dataclass(frozen=True)
class Bundle:
    """A chart with the values of one commit. `files` are its files by path; its `values.yaml` is JSON. The commit is
    in `global.lineal` of the values, or in the file ABOUT."""

    name: str
    files: Mapping[str, bytes]
    vouched: Callable[[Manifest], Manifest] = field(default=lambda manifest: manifest, compare=False)
    """Marks its manifest, in a run with a key."""
    sign: Callable[[Store, Manifest], None] | None = field(default=None, compare=False)
    """Signs its manifest, which is there, in a run that signs."""

    @cached_property
    def parts(self) -> dict[str, Part]:
        """This bundle (`""`) and the bundles that it depends on (`api`, `api/db`), by where they are."""
        found = {}
        for path in sorted(self.files):
            matched = _VALUES.fullmatch(path)
            part = _part(self.files[path], self.files.get(matched[1] + ABOUT)) if matched else None
            if matched and part is not None:
                found["/".join(matched[1].split("/")[1::2])] = part
        return found

    @property
    def values(self) -> dict[str, Any]:
        """Its own values. Raises `DeployFailed` when this is a chart, but no bundle."""
        return self._own.values

    @property
    def _own(self) -> Part:
        if "" not in self.parts:
            what = f"The chart {quoted(self.name)} is no bundle: its values do not say which commit it is."
            raise DeployFailed(
                what, id="LN-7006", remedy="Publish it with `lineal bundle publish`, or name it in `deploy.chart`."
            )
        return self.parts[""]

    @property
    def tells_environment(self) -> bool:
        """Whether its templates may read `global.lineal.env`."""
        return ABOUT not in self.files

    @property
    def project(self) -> str:
        return printable(self._own.about["project"], 63)

    @property
    def commit(self) -> str:
        return str(self._own.about["commit"])

    @property
    def images(self) -> dict[str, ImageValue]:
        return self._own.images("")

    @property
    def all_images(self) -> dict[str, ImageValue]:
        """Its images, and as `api/NAME` those of the bundles that it depends on."""
        return {
            name: image
            for part in sorted(self.parts)
            for name, image in self.parts[part].images(f"{part}/" if part else "").items()
        }

    @cached_property
    def titles(self) -> dict[str, str]:
        """The fields of Chart.yaml, each as the text that stands there."""
        import yaml

        try:
            read = yaml.load(self.files["Chart.yaml"], Loader=yaml.BaseLoader)  # noqa: S506 (texts only)
        except (yaml.YAMLError, ValueError, RecursionError):
            read = None
        known = read if isinstance(read, dict) else {}
        return {key: known[key] for key in _TITLES if isinstance(known.get(key), str)}

    @property
    def version(self) -> str:
        return check_version(self.titles.get("version", ""))

    @property
    def encrypted(self) -> dict[str, bytes]:
        """The encrypted values files, in order."""
        return {path: self.files[path] for path in sorted(self.files) if path.startswith(ENCRYPTED)}

    def changed(self, change: Callable[[Any], Any]) -> Bundle:
        """The bundle with other values, its own and those of the bundles that it depends on."""
        made = {self.path(name): written(change(part.values)) for name, part in self.parts.items()}
        about = {self.path(name, ABOUT): self.parts[name].about for name in self.parts}
        known = {path: written(change(value)) for path, value in about.items() if path in self.files}
        return Bundle(self.name, {**self.files, **made, **known})

    def path(self, part: str, file: str = "values.yaml") -> str:
        """The path of a file of a part."""
        return "".join(f"charts/{name}/" for name in part.split("/") if name) + file

    def archive(self) -> bytes:
        return pack(self.name, self.files)

    def documents(self, source: str | None) -> tuple[Blob, Blob, Manifest]:
        """Config, chart and the manifest that names both. `source`: the address where people find the commit."""
        config, chart = Blob.of(encode(self.titles)), Blob.of(self.archive())
        notes = {
            "org.opencontainers.image.title": self.name,
            "org.opencontainers.image.version": self.version,
            "org.opencontainers.image.revision": self.commit,
            PREFIX + "project": self.project,
            **{f"{PREFIX}image.{name}": image.ref for name, image in self.all_images.items()},
        }
        if source:
            notes["org.opencontainers.image.source"] = source
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": Descriptor(CONFIG, config.digest, config.size).to_json(),
            "layers": [Descriptor(CHART, chart.digest, chart.size).to_json()],
            "annotations": {key: notes[key] for key in sorted(notes)},
        }
        return config, chart, self.vouched(Manifest(encode(manifest), OCI_MANIFEST))


def written(values: Mapping[str, Any]) -> bytes:
    """Values as a file: JSON that all readers of YAML understand alike. Characters that YAML does not allow are
    escaped."""
    text = json.dumps(values, ensure_ascii=False, indent=2, sort_keys=True)
    return (_STRANGE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n").encode()


def _part(data: bytes, about: bytes | None) -> Part | None:
    """The part with the values that `written` made, None for any other values file. Told in a file of its own, the
    commit counts before the values: these hold the images alone then, or nothing."""
    try:
        values = json.loads(data)
        told = values["global"]["lineal"] if about is None else json.loads(about)
        known = isinstance(told["project"], str) and _COMMIT.fullmatch(told["commit"]) is not None
        known = known and isinstance(values, dict) and all(_is_image(image) for image in told["images"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Part(values, told) if known else None


def _is_image(image: Any) -> bool:
    """Whether an image stands there as `publish` writes it: its repository, tag and digest go into requests."""
    repository, tag, digest = image["repository"], image["tag"], image["digest"]
    return bool(isinstance(repository, str) and _TAG.fullmatch(tag) and is_digest(digest))
