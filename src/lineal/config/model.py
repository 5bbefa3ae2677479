"""What a project wants: the shape of `lineal.yaml`. The JSON Schema (`lineal schema`) is made from these classes.

Rules that a type cannot say (names, paths, cycles) are in `rules.py`. Where such classes are, annotations are types
and not texts (`from __future__ import annotations`): msgspec would have each text compiled in every run."""

import posixpath
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from lineal.config.caches import Caches
from lineal.config.named_context import OneContext
from lineal.config.platforms import PLATFORM, Engines
from lineal.config.publish import Publish
from lineal.config.run_options import GATEWAY, Count, Moment, Ulimit
from lineal.config.trust import Trust
from lineal.lock.address import PATTERN as LOCK_PATTERN

MOST_DAYS = 36_500
"""Days that stages can be kept at most: a hundred years."""
FILE = "lineal.yaml"

Name = Annotated[
    str,
    Meta(
        description="A project's name: lower-case letters, digits, `-`, `_` and `.`.",
        pattern=r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$",
        extra={
            "rule": "Use at most 63 lower-case letters, digits, `-`, `_` and `.`, with a letter or digit at the ends."
        },
    ),
]
ImageName = Annotated[
    str,
    Meta(
        description="An image's name: lower-case letters, digits and single separators.",
        pattern=r"^[a-z0-9]+([._/-]+[a-z0-9]+)*$",
        max_length=128,
        extra={"rule": "Use lower-case letters, digits and `-`, `_`, `.`, `/`, with a letter or digit at the ends."},
    ),
]
Variable = Annotated[
    str,
    Meta(
        description="A variable's name: letters, digits and `_`.",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        extra={"rule": "Use letters, digits and `_`, not starting with a digit."},
    ),
]
SecretName = Annotated[
    str,
    Meta(
        description="The id that `RUN --mount=type=secret,id=…` asks for.",
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
        extra={"rule": "Use letters, digits, `_`, `.` and `-`."},
    ),
]


class Secret(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A secret for `RUN --mount=type=secret`. Whoever runs Lineal gives its value; for the project's own commits
    `env` or `file` may say where the runner finds it."""

    id: SecretName
    env: Annotated[str | None, Meta(description="The environment variable that holds the value.")] = None
    file: Annotated[
        str | None,
        Meta(
            description="The file that holds the value, relative to the repository's root and inside it, never "
            "committed. Outside a CI, where the user is asked, it may be anywhere."
        ),
    ] = None


class Ssh(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An SSH agent of the runner for `RUN --mount=type=ssh`."""

    id: Annotated[SecretName, Meta(description="The id that the Dockerfile asks for (default: `default`).")] = (
        "default"
    )
    socket: Annotated[
        str | None,
        Meta(description="The agent's socket on the runner (default: the one of `SSH_AUTH_SOCK`)."),
    ] = None


OneSecret = Annotated[
    Secret,
    Meta(
        extra_json_schema={
            "oneOf": [
                {"required": ["env"], "properties": {"env": {"type": "string"}}},
                {"required": ["file"], "properties": {"file": {"type": "string"}}},
                {"properties": {"env": {"type": "null"}, "file": {"type": "null"}}},
            ]
        }
    ),
]


class Image(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One image and how it is built. `{}` builds `./Dockerfile`."""

    context: Annotated[
        str, Meta(description="The directory of the commit that `COPY` and `ADD` see, relative to the root.")
    ] = "."
    dockerfile: Annotated[
        str | None,
        Meta(description="The Dockerfile's path, relative to the root (default: `<context>/Dockerfile`)."),
    ] = None
    target: Annotated[
        str | None, Meta(description="The `FROM … AS name` to build (default: the Dockerfile's last one).")
    ] = None
    args: Annotated[
        dict[Variable, str], Meta(description='Build arguments; values are strings, so write "3.13", not 3.13.')
    ] = {}
    needs: Annotated[
        dict[Variable, str],
        Meta(description="Build arguments whose value is the reference of another image of this file."),
    ] = {}
    requires: Annotated[
        list[ImageName],
        Meta(
            description="Other images of this file, such as tests, that must have built before this one is finished, "
            "tagged or deployed."
        ),
    ] = []
    contexts: Annotated[
        dict[str, OneContext],
        Meta(
            description="What names stand for in `FROM`, `COPY --from` and `RUN --mount=from`: in place of a target "
            "or an image that is called so."
        ),
    ] = {}
    secrets: Annotated[list[OneSecret], Meta(description="Secrets that the Dockerfile mounts.")] = []
    ssh: Annotated[
        list[Ssh], Meta(description="SSH agents that the Dockerfile mounts; `[{}]` is the default one.")
    ] = []
    cache_version: Annotated[
        str, Meta(description="Any text; change it to rebuild this image from its first stage.")
    ] = ""
    labels: Annotated[
        dict[str, str],
        Meta(
            description="Labels of the image, beside those of its Dockerfile or in their place. One that changes "
            "with every commit makes another image of each: what tells of a commit belongs into annotations."
        ),
    ] = {}
    platforms: Annotated[
        list[str],
        Meta(
            description=f"The platforms to build for (default: `{PLATFORM}`); the finished image of several is an "
            "index. The first one is what `$BUILDPLATFORM` says.",
            extra_json_schema={"minItems": 1, "uniqueItems": True},
        ),
    ] = field(default_factory=lambda: [PLATFORM])
    publish: Annotated[
        bool | Publish | None,
        Meta(
            description="What this image is published as, key by key in place of the project's `publish`; `true` is "
            "as the project says, `false` is never."
        ),
    ] = None
    caches: Annotated[
        Caches | None,
        Meta(description="Which of its cache mounts outlive the runner, key by key."),
    ] = None

    add_hosts: Annotated[
        dict[str, str],
        Meta(
            description="Names of hosts that a `RUN` knows beside those of DNS, each with its address; "
            f"`{GATEWAY}` is the engine's machine."
        ),
    ] = {}
    shm_size: Annotated[
        str | None, Meta(description="The size of /dev/shm for a `RUN`, such as `256m` (default: the engine's).")
    ] = None
    ulimits: Annotated[
        dict[str, Count | Ulimit],
        Meta(description="Limits of a `RUN` by their names, such as `nofile: 65536` or `{soft: 1024, hard: 65536}`."),
    ] = {}
    cgroup_parent: Annotated[
        str | None, Meta(description="The control group of the engine's machine in which a `RUN` runs.")
    ] = None
    source_date_epoch: Annotated[
        Moment | None,
        Meta(
            description="Seconds since 1970: no file that a `RUN` makes is younger, and ARG SOURCE_DATE_EPOCH has it "
            "(default: the times stay as they are)."
        ),
    ] = None

    @property
    def dockerfile_path(self) -> str:
        """The Dockerfile's normal path in the commit, the default applied."""
        return normal(self.dockerfile if self.dockerfile is not None else posixpath.join(self.context, "Dockerfile"))

    @property
    def needed(self) -> list[str]:
        """The images of this file that it is made from."""
        return [*self.needs.values(), *(one.needs for one in self.contexts.values() if one.needs is not None)]

    @property
    def context_path(self) -> str:
        """The context's normal path in the commit; `` for the root."""
        return "" if normal(self.context) == "." else normal(self.context)


class Deploy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The release that this project is deployed as: of a chart, of manifests or of a kustomization; or templates that
    are rendered for whatever else deploys."""

    chart: Annotated[str, Meta(description="The chart: a directory of the commit, `oci://…` or `https://…`.")] = ""
    manifests: Annotated[
        list[str],
        Meta(
            description="In place of a chart: manifests of the commit, files or directories of them; `*.j2` files "
            "are rendered with Jinja2 first."
        ),
    ] = []
    kustomize: Annotated[
        str, Meta(description="In place of a chart: the directory of the commit with the kustomization.yaml.")
    ] = ""
    templates: Annotated[
        list[str],
        Meta(
            description="In place of a chart: any text of the commit that names images, which `lineal render` "
            "renders with Jinja2."
        ),
    ] = []
    release: Annotated[
        str,
        Meta(description="The release's name (default: `<project>-<env>`, or `<project>` without an environment)."),
    ] = ""
    namespace: Annotated[
        str, Meta(description="Its namespace (default: `<project>-<env>`, or `<project>` without an environment).")
    ] = ""
    values: Annotated[
        list[str],
        Meta(description="Values files of the commit, later ones win; `*.j2` files are rendered with Jinja2 first."),
    ] = []
    timeout: Annotated[str, Meta(description="How long to wait for the release, such as `10m` or `1h30m`.")] = "10m"
    global_: Annotated[
        bool | Literal["images"],
        Meta(description="Whether the chart gets `global.lineal`: `true`, `images` (nothing else in it) or `false`."),
    ] = field(default=True, name="global")
    server_side: Annotated[
        bool,
        Meta(description="Let the API server apply the manifests, and take fields that somebody else has (Helm 4)."),
    ] = False


_SOURCES = {"chart": {"pattern": "."}, "kustomize": {"pattern": "."}, "manifests": {"minItems": 1},
            "templates": {"minItems": 1}}  # fmt: skip
_ONE_SOURCE = [
    {"type": "null"},
    *({"type": "object", "required": [key], "properties": {key: _SOURCES[key]}} for key in _SOURCES),
]


class Cleanup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `lineal cleanup` keeps."""

    keep_days: Annotated[
        int,
        Meta(
            description="Stages that were published in so many days are kept whatever needs them.",
            ge=0,
            le=MOST_DAYS,
            extra={"rule": "Write a whole number of days, such as 30."},
        ),
    ] = 30


class Project(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What Lineal builds and deploys from a commit: `lineal.yaml` at the repository's root."""

    project: Name
    images: Annotated[dict[ImageName, Image], Meta(description="The images by name.")] = {}
    publish: Annotated[Publish | None, Meta(description="Finished images: where they go, and under which tags.")] = (
        None
    )
    caches: Annotated[Caches | None, Meta(description="Which cache mounts outlive the runner.")] = None
    deploy: Annotated[
        Deploy | None, Meta(description="What to deploy, if anything.", extra_json_schema={"oneOf": _ONE_SOURCE})
    ] = None
    engines: Engines = {}
    repo: Annotated[
        str | None,
        Meta(
            description="The store: `registry.example.com/team/app` or `layout:PATH` "
            "(default: the CI's own registry, or a directory outside CI)."
        ),
    ] = None
    lock: Annotated[
        str,
        Meta(
            description="What keeps runs from publishing the same stage twice: `auto`, `file`, `git`, "
            "`kubernetes[:NAMESPACE]`, `etcd:https://HOST:PORT` or `none`; results are correct without.",
            extra_json_schema={"pattern": LOCK_PATTERN},
        ),
    ] = "auto"
    cleanup: Annotated[Cleanup, Meta(description="What `lineal cleanup` keeps.")] = Cleanup()
    trust: Annotated[Trust | None, Meta(description="Whose stages are believed.")] = None


def normal(path: str) -> str:
    """A path of the commit in one spelling: `./api/` is `api`."""
    return posixpath.normpath(path) if path else "."
