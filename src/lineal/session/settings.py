"""Settings of a run, each with its origin: a flag, `LINEAL_*`, `lineal.yaml`, a default.

`Settings` needs no repository. `StoreSettings` and `ReleaseSettings` ask `lineal.yaml` too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from lineal.config.model import MOST_DAYS, Deploy
from lineal.config.setting import DEFAULT, Origin, Setting, resolve, variable_of
from lineal.engine import DEVICE, NETWORK_HOST, SECURITY_INSECURE
from lineal.errors import BadConfiguration
from lineal.oci.platform import is_linux, normal
from lineal.session.options import Options
from lineal.store.mirror import parse_mirror
from lineal.store.open import check_address
from lineal.text import lines, quoted
from lineal.value import dataclass

if TYPE_CHECKING:
    from lineal.config.load import LoadedProject
    from lineal.publish.archive_output import ArchiveOutput

_TRUE = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}

Lines = Setting[tuple[str, ...]]


BUILD_OUTPUT = "LINEAL_BUILD_OUTPUT"
"""`--output` of a build; LINEAL_OUTPUT is the directory that `render` writes to."""
RENDER_TEMPLATE = "LINEAL_RENDER_TEMPLATE"
"""`--template` of `render`; LINEAL_TEMPLATE is the one of `plan`."""
PUBLISH = "publish"
"""The caller's word that a commit is the project's own which no branch of it is known to hold."""
_ALLOWED = (NETWORK_HOST, SECURITY_INSECURE, DEVICE, PUBLISH)


@dataclass(frozen=True)
class Settings:
    """Everything that flags and variables say. `environ` is the environment of the run, `given` the flags alone."""

    environ: Mapping[str, str] = field(repr=False)
    given: Options
    env: Setting[str]
    vars: Setting[Mapping[str, str]]
    dev: Setting[bool]
    ignore_uncommitted: Setting[bool]
    insecure_registries: Lines
    registry_mirrors: Lines
    secrets: Lines
    ssh: Lines
    allowed: Lines
    """What the caller gives to the commit: `network.host` and its like to a `RUN`, `publish` to the run."""
    jobs: Setting[int]
    engine: Setting[str]
    engine_network: Setting[str]
    platforms: Lines
    """In their one spelling, each once."""
    kube_context: Setting[str]
    kube_contexts: Lines
    kube_version: Setting[str]
    api_versions: Lines
    values: Lines
    sets: Lines
    skip_unchanged: Setting[bool]
    skip_schema_validation: Setting[bool]
    take_ownership: Setting[bool]
    server_side: Setting[bool]
    overwrite_tag: Setting[bool]
    load: Setting[bool]
    no_cache_mounts: Setting[bool]
    outputs: Setting[tuple[ArchiveOutput, ...]]
    diff: Setting[bool]
    dry_run: Setting[bool]
    ignored_refs: Lines
    bundle_version: Setting[str]
    bundle_repo: Setting[str]
    policy: Setting[str]
    template: Setting[str]
    """Of `plan --format gitlab`."""
    render_templates: Lines
    runners: Setting[Mapping[str, tuple[str, ...]]]
    """Labels of the runners for platforms."""
    report: Setting[str]
    report_html: Setting[str]
    dotenv: Setting[str]
    summary: bool
    """Whether GitHub's job summary is written; only a variable says no."""

    @classmethod
    def of(cls, **flags: Any) -> Settings:
        """From flags, named as in `Options`, and the environment. Raises `BadConfiguration`."""
        return _settings(Options(**flags))


@dataclass(frozen=True, slots=True)
class StoreSettings:
    repo: Setting[str]
    """The store's address, which may be shown: one with a password in it is refused."""
    lock: Setting[str]
    keep_days: Setting[int]

    @classmethod
    def of(cls, settings: Settings, loaded: LoadedProject, default_repo: Setting[str]) -> StoreSettings:
        """`default_repo` is for a run that names no store, empty where there is none. Raises `BadConfiguration`."""
        read, given = _Reader(settings.environ), settings.given
        kept = Setting(loaded.project.cleanup.keep_days, loaded.origin("cleanup.keep_days"))
        repo = read.text("repo", given.repo, loaded.setting("repo"), default_repo)
        if not repo.value and repo.origin == default_repo.origin:
            raise BadConfiguration(
                "This CI offers no registry, and nothing says where the stages are to be kept.",
                id="LN-1022",
                remedy="Give a store, HOST/REPOSITORY, by `--repo`, LINEAL_REPO or `repo:` in lineal.yaml; with "
                "`layout:PATH` it is a directory, which may be gone with the job.",
            )
        return cls(
            repo=_shown(repo),
            lock=read.text("lock", given.lock, loaded.setting("lock"), Setting("auto")),
            keep_days=read.days("keep-days", given.keep_days, kept),
        )


@dataclass(frozen=True, slots=True)
class ReleaseSettings:
    name: Setting[str]
    namespace: Setting[str]
    timeout: Setting[str]

    @classmethod
    def of(cls, settings: Settings, loaded: LoadedProject | None = None, deploy: Deploy | None = None,
           default: str = "") -> ReleaseSettings:  # fmt: skip
        """`deploy` is what `loaded` says about the release; without them, name and namespace are `default` when no
        flag and no variable names them."""
        read, given = _Reader(settings.environ), settings.given

        def text(name: str, flag: str | None, usual: str) -> Setting[str]:
            configured = loaded.setting(f"deploy.{name}") if loaded else None
            return read.text(name, flag, configured, Setting(usual))

        return cls(
            name=text("release", given.release, deploy.release if deploy else default),
            namespace=text("namespace", given.namespace, deploy.namespace if deploy else default),
            timeout=text("timeout", given.timeout, deploy.timeout if deploy else "10m"),
        )


def _settings(options: Options) -> Settings:
    read = _Reader(options.environ)
    return Settings(
        environ=options.environ,
        given=options,
        env=read.text("env", options.env),
        vars=_variables(read.lines("var", options.var)),
        dev=read.flag("dev", options.dev),
        ignore_uncommitted=read.flag("ignore-uncommitted", options.ignore_uncommitted),
        insecure_registries=read.lines("insecure-registry", options.insecure_registry),
        registry_mirrors=_mirrors(read.lines("registry-mirror", options.registry_mirror)),
        secrets=read.lines("secret", options.secret),
        ssh=read.lines("ssh", options.ssh),
        allowed=_entitlements(read.lines("allow", options.allow)),
        jobs=resolve("jobs", flag=options.jobs, environ=options.environ, default=4, parse=_positive),
        engine=_engine(read.text("engine", options.engine, default=Setting("auto"))),
        engine_network=read.text("engine-network", options.engine_network, default=Setting("default")),
        platforms=_platforms(read.lines("platform", options.platform)),
        kube_context=read.text("kube-context", options.kube_context),
        kube_contexts=read.lines("kube-context", options.kube_contexts),
        kube_version=read.text("kube-version", options.kube_version),
        api_versions=read.lines("api-versions", options.api_versions),
        values=read.lines("values", options.values),
        sets=read.lines("set", options.set),
        skip_unchanged=read.flag("skip-unchanged", options.skip_unchanged, default=True),
        skip_schema_validation=read.flag("skip-schema-validation", options.skip_schema_validation),
        take_ownership=read.flag("take-ownership", options.take_ownership),
        server_side=read.flag("server-side", options.server_side),
        overwrite_tag=read.flag("overwrite-tag", options.overwrite_tag),
        load=read.flag("load", options.load),
        no_cache_mounts=read.flag("no-cache-mounts", options.no_cache_mounts),
        outputs=_outputs(read.lines("output", options.build_output, variable=BUILD_OUTPUT)),
        diff=read.flag("diff", options.diff),
        dry_run=read.flag("dry-run", options.dry_run),
        ignored_refs=read.lines("ignore-ref", options.ignore_ref),
        bundle_version=read.text("bundle-version", options.bundle_version),
        bundle_repo=read.text("bundle-repo", options.bundle_repo),
        policy=read.text("policy", options.policy),
        template=read.text("template", options.template),
        render_templates=read.lines("template", options.render_template, variable=RENDER_TEMPLATE),
        runners=_runners(read.lines("runner", options.runner)),
        report=read.text("report", options.report),
        report_html=read.text("report-html", options.report_html),
        dotenv=read.text("dotenv", options.dotenv),
        summary=wants_summary(options.environ),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Values of flags, else of variables, as they are written there."""

    environ: Mapping[str, str]

    def text(self, name: str, flag: str | None, configured: Setting[str] | None = None,
             default: Setting[str] = Setting("")) -> Setting[str]:  # noqa: B008 (it is frozen)  # fmt: skip
        return resolve(name, flag=flag, environ=self.environ, configured=configured, default=default.value,
                       default_source=default.origin.source)  # fmt: skip

    def flag(self, name: str, flag: bool | None, default: bool = False) -> Setting[bool]:
        return resolve(name, flag=flag, environ=self.environ, default=default, parse=_boolean)

    def days(self, name: str, flag: int | None, configured: Setting[int]) -> Setting[int]:
        return resolve(name, flag=flag, environ=self.environ, configured=configured, default=configured.value,
                       parse=_days)  # fmt: skip

    def lines(self, name: str, flag: tuple[str, ...], variable: str = "") -> Lines:
        """The entries of a flag that may be repeated; in a variable (by default that of its name), one a line."""
        if flag:
            return Setting(flag, Origin(f"--{name}"))
        variable = variable or variable_of(name)
        entries = tuple(entry for line in lines(self.environ.get(variable, "")) if (entry := line.strip(" \t\r")))
        return Setting(entries, Origin(variable) if entries else DEFAULT)


def _variables(lines: Lines) -> Setting[Mapping[str, str]]:
    """`--var name=value` as a mapping."""
    pairs = {}
    for number, text in enumerate(lines.value, 1):
        name, separator, value = text.partition("=")
        if not separator or not name:
            # The line may be a part of a secret of several lines, so the message does not repeat it.
            what = f"--var (or line of LINEAL_VAR) number {number} is not NAME=VALUE."
            raise BadConfiguration(what, id="LN-1012", remedy="Write each as NAME=VALUE, on one line.")
        pairs[name] = value
    return Setting(pairs, lines.origin)


def _entitlements(lines: Lines) -> Lines:
    for text in lines.value:
        if text not in _ALLOWED:
            what = f"--allow {quoted(text)} ({lines.origin}) is nothing that Lineal can give to a commit."
            remedy = f"Write --allow with one of {', '.join(_ALLOWED)}, or leave it out."
            raise BadConfiguration(what, id="LN-1024", remedy=remedy)
    return lines


def _engine(setting: Setting[str]) -> Setting[str]:
    if setting.origin is not DEFAULT:
        from lineal.engine.select import check
        from lineal.engine.table import parse_table

        for named in parse_table(setting.value, str(setting.origin)).every:
            check(named.name, named.source)
    return setting


def _platforms(lines: Lines) -> Lines:
    """`linux/amd64,linux/arm64`: with commas between them, or one a line."""
    found = dict.fromkeys(normal(text.strip()) for line in lines.value for text in line.split(",") if text.strip())
    for platform in found:
        if not is_linux(platform):
            raise BadConfiguration(
                f"{quoted(platform)} ({lines.origin}) is not a platform that Lineal builds.",
                id="LN-1035",
                remedy="Write linux/ARCHITECTURE, such as linux/amd64,linux/arm64.",
            )
    return Setting(tuple(found), lines.origin)


def _runners(lines: Lines) -> Setting[Mapping[str, tuple[str, ...]]]:
    if not lines.value:
        return Setting({}, lines.origin)
    from lineal.ci.runners import parse_runners

    return Setting(parse_runners(lines.value, lines.origin.source), lines.origin)


def _outputs(lines: Lines) -> Setting[tuple[ArchiveOutput, ...]]:
    if not lines.value:
        return Setting((), lines.origin)
    from lineal.publish.archive_output import parse_outputs

    return Setting(parse_outputs(lines.value, lines.origin.source), lines.origin)


def _mirrors(lines: Lines) -> Lines:
    """The mirrors, which may be shown: one with a password in it is refused."""
    for text in lines.value:
        parse_mirror(text)
    return lines


def _shown(repo: Setting[str]) -> Setting[str]:
    try:
        check_address(repo.value)
    except BadConfiguration as error:
        error.message = f"{error.message[:-1]} ({repo.origin})."
        raise
    return repo


def wants_summary(environ: Mapping[str, str]) -> bool:
    """Whether GitHub's job summary is written. Raises `BadConfiguration`."""
    text = environ.get("LINEAL_SUMMARY", "").lower()
    if text and text not in _TRUE:
        what = "The environment variable LINEAL_SUMMARY is neither true nor false."
        raise BadConfiguration(what, id="LN-1012", remedy="Set it to false, or remove it.")
    return _TRUE.get(text, True)


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE:
        raise ValueError("it must be true or false")
    return _TRUE[text.lower()]


def _days(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) > MOST_DAYS:
        raise ValueError(f"it must be a whole number from 0 to {MOST_DAYS}")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError("it must be a whole number of 1 or more")
    return int(text)
