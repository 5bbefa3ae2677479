"""The report of a run: the shape written by `--report FILE` (JSON, versioned) and shown by the summary.

Annotations are types, as in `config/model.py`."""

from typing import Literal

import msgspec

SCHEMA = 1

Action = Literal["create", "change", "delete"]
Outcome = Literal["cached", "built", "assembled", "adopted", "missing", "failed"]
"""`missing` only in a plan (it would be built), `failed` only after an error."""


CacheOutcome = Literal["empty", "restored"]
Kept = Literal["", "published", "unchanged", "given up"]


class CacheReport(msgspec.Struct, kw_only=True):
    """A cache mount that outlives the runner. Stages that share it have equal ones; `seconds` and bytes are those of
    all of them."""

    id: str
    outcome: CacheOutcome = "empty"
    """What it began with; in a plan what stands in `snapshot` tells."""
    snapshot: str = ""
    """The tag of the snapshot that it began, or would begin, with ..."""
    commit: str = ""
    """... and the commit of that."""
    reason: str = ""
    """The rule that made it visible, or why there is none."""
    size: int = 0
    """Bytes of its files."""
    stored: int = 0
    """Bytes of its snapshot in the store."""
    bytes_pulled: int = 0
    bytes_pushed: int = 0
    seconds: float = 0.0
    kept: Kept = ""
    published: str = ""
    """The tag of the snapshot that this run has published."""


class StageReport(msgspec.Struct, kw_only=True):
    """One stage. `duration` in seconds; bytes are compressed layer bytes moved for this stage."""

    image: str
    target: str
    platform: str = ""
    line: int
    instruction: str
    checksum: str
    tag: str | None = None
    digest: str | None = None
    outcome: Outcome
    duration: float = 0.0
    began: float = 0.0
    """Seconds after building began; of a stage that this run has made, as `ended` is ..."""
    ended: float = 0.0
    """... when it was published, or failed."""
    bytes_pulled: int = 0
    bytes_pushed: int = 0
    saved: float = 0.0
    """Of a hit: the seconds that it took to make, where that is known."""
    reason: str = ""
    """For a hit, the rule that made it visible; for a miss, why."""
    parent: str | None = None
    """The checksum of the stage below."""
    inputs: list[str] = []
    """The checksums of the other stages that it is made from: what it copies from, images that it needs."""
    output: list[str] = []
    """The last lines that a failed stage printed; secrets are masked."""
    caches: list[CacheReport] = []
    """Its cache mounts that outlive the runner."""


TagOutcome = Literal["written", "moved", "there", "left", "planned", "refused"]
"""`there`: it named this image before; `left`: it would move back, or may not move; `planned`: a build would write
it."""


class TagReport(msgspec.Struct, kw_only=True):
    """A tag of a finished image in one repository."""

    repository: str
    name: str
    outcome: TagOutcome
    reason: str = ""
    """Why it was left alone or refused."""

    @property
    def reference(self) -> str:
        return f"{self.repository}:{self.name}"


class PlatformReport(msgspec.Struct, kw_only=True):
    """The part of an image for one platform. `digest` is that of its manifest, None while it is not finished;
    `published` says whether its last stage is there, `wanted` whether this run builds it."""

    name: str
    checksum: str
    """Of its last stage."""
    digest: str | None = None
    published: bool = False
    wanted: bool = True


class ImageReport(msgspec.Struct, kw_only=True):
    """A finished image, or an image of the store where there is no `publish`; all None in a plan while it is
    missing."""

    name: str
    checksum: str = ""
    """Of its last stage, for the first of its platforms."""
    platforms: list[PlatformReport] = []
    """In the order of lineal.yaml. The image is an index of them where there are several."""
    ref: str | None = None
    image: str | None = None
    repository: str | None = None
    tag: str | None = None
    digest: str | None = None
    media_type: str | None = None
    """Of the manifest with this digest, as `size` (bytes) is; only of finished images."""
    size: int | None = None
    config: str | None = None
    """The digest of its config, what docker calls its id; of finished images, and of one that flags describe."""
    tags: list[TagReport] = []
    """In the order of lineal.yaml: those of the first final repository, then those of the others."""
    built: bool = False
    """Whether this run made any of its stages."""
    requires: list[str] = []
    """The images that must have built before this one is finished, tagged or deployed."""


class ContextReport(msgspec.Struct, kw_only=True):
    provider: str
    event: str
    commit: str
    branch: str | None = None
    tag: str | None = None
    pull_request: int | None = None
    may_write: bool = True


class BundleReport(msgspec.Struct, kw_only=True):
    """The bundle that `bundle apply` installed; only `reference`, as it was given, is known of one that was not
    found."""

    reference: str
    name: str | None = None
    version: str | None = None
    digest: str | None = None
    commit: str | None = None
    """The one that it was published of, in the repository of the report's `project`."""


class ReleaseReport(msgspec.Struct, kw_only=True):
    """The release after a deploy. `status`: `deployed`, `unchanged` (nothing was done), `rolled back`, `uninstalled`
    (by `dismiss`, or a first installation that failed), `not deployed`, `unknown`, of `drift` also `as deployed` and
    `drifted`, or helm's word for what nobody could put in order."""

    name: str
    namespace: str
    status: str
    revision: int | None = None
    duration: float = 0.0
    told: list[str] = []
    """The events, in sentences."""
    log: list[str] = []
    """The last lines of the container that failed; secrets are masked."""


class HandoverReport(msgspec.Struct, kw_only=True):
    """What `render --to-git` handed over to a branch of another repository. `outcome`: `committed`, `unchanged`
    (nothing to commit), `left` (a later commit was there), `not committed`."""

    repository: str
    branch: str
    path: str
    outcome: Literal["committed", "unchanged", "left", "not committed"]
    commit: str | None = None
    """What the branch is at, as far as it was seen."""
    changed: list[str] = []
    """The files that were written or removed."""


class ChangeReport(msgspec.Struct, kw_only=True):
    """An object of the release that a deploy would change. `diff`: lines of a unified diff of its manifests, with no
    value of a Secret."""

    kind: str
    name: str
    namespace: str = ""
    """Empty: that of the release."""
    action: Action
    hook: bool = False
    diff: list[str] = []


class ErrorReport(msgspec.Struct, kw_only=True):
    """Why the run failed: the same sentence as in the log, in its parts."""

    message: str
    id: str
    """One of docs/errors.md."""
    remedy: str | None = None
    file: str | None = None
    line: int | None = None
    key: str | None = None
    code: int
    """The exit code."""
    others: "list[ErrorReport]" = []
    """What else was found wrong before the run ended, in the order of files and lines."""


class Report(msgspec.Struct, kw_only=True):
    schema: int = SCHEMA
    lineal: str
    command: str
    project: str | None
    store: str | None
    context: ContextReport | None
    """None where the command is about no commit: `bundle apply`, `dismiss`."""
    bundle: BundleReport | None = None
    images: list[ImageReport]
    stages: list[StageReport]
    release: ReleaseReport | None = None
    handover: HandoverReport | None = None
    """Only of `render --to-git`."""
    changes: list[ChangeReport] | None = None
    """Only of `drift`, and of a plan that was asked for them."""
    error: ErrorReport | None = None
    duration: float = 0.0
    saved: float = 0.0
    """The sum of what its stages saved: of work, some of which would have gone on side by side."""
    requests: int = 0
    bytes_read: int = 0
    bytes_sent: int = 0

    @property
    def may_write(self) -> bool:
        return self.context is None or self.context.may_write


def encode(report: Report) -> bytes:
    # On stdout GitHub's runner would take `##[command]` anywhere in a line; the JSON stays the same.
    text = msgspec.json.format(msgspec.json.encode(report), indent=2).replace(b"##[", b"##\\u005b")
    return text + b"\n"
