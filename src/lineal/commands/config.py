"""`lineal config`: the resolved configuration as YAML, each value with its origin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lineal.commands.output import show
from lineal.config.load import LoadedProject
from lineal.config.setting import Setting
from lineal.session.session import Session
from lineal.session.settings import ReleaseSettings
from lineal.text import defuse_commands, printable


def config(session: Session) -> None:
    """The whole command. Raises `BadConfiguration`, also for an address that must not be shown because a password
    stands in it."""
    settings = settings_of(session)
    _ = session.publications  # what is wrong in `publish` is told too
    show(describe(session.loaded, settings))


def settings_of(session: Session) -> dict[str, Setting[Any]]:
    """Every setting under the name of its flag or of its key in lineal.yaml."""
    settings, store, loaded = session.settings, session.store_settings, session.loaded
    _ = session.lock_choice  # its address is checked
    found: dict[str, Setting[Any]] = {
        "repo": store.repo,
        "lock": store.lock,
        "env": settings.env,
        "jobs": settings.jobs,
        "dev": settings.dev,
        "ignore-uncommitted": settings.ignore_uncommitted,
        "engine": settings.engine,
        "engine-network": settings.engine_network,
        "kube-context": settings.kube_context,
        "skip-unchanged": settings.skip_unchanged,
        "skip-schema-validation": settings.skip_schema_validation,
        "take-ownership": settings.take_ownership,
        "server-side": settings.server_side,
        "overwrite-tag": settings.overwrite_tag,
        "report": settings.report,
        "report-html": settings.report_html,
        "cleanup.keep_days": store.keep_days,
        "insecure-registry": _listed(settings.insecure_registries),
        "registry-mirror": _listed(settings.registry_mirrors),
        "values": _listed(settings.values),
        "var": Setting([f"{name}=…" for name in settings.vars.value], settings.vars.origin),
        "set": Setting([entry.partition("=")[0] + "=…" for entry in settings.sets.value], settings.sets.origin),
        "secret": _listed(settings.secrets),
        "ssh": _listed(settings.ssh),
        "allow": _listed(settings.allowed),
    }
    if settings.platforms.value:
        found["platform"] = _listed(settings.platforms)
    if loaded.project.deploy is not None:
        release = ReleaseSettings.of(settings, loaded, loaded.project.deploy)
        found |= {
            "deploy.release": release.name,
            "deploy.namespace": release.namespace,
            "deploy.timeout": release.timeout,
        }
    return found


def _listed(lines: Setting[tuple[str, ...]]) -> Setting[list[str]]:
    return Setting(list(lines.value), lines.origin)


def describe(loaded: LoadedProject, settings: Mapping[str, Setting[Any]]) -> str:
    """The resolved configuration as YAML, each value's origin in a comment behind it.

    A setting named as a key of the configuration (`repo`, `deploy.namespace`) is shown in its place, the others
    (`jobs`) under `settings`."""
    from msgspec import to_builtins

    tree: dict[str, Any] = to_builtins(loaded.project)
    origins = {key: origin.source for key, origin in loaded.origins.items()}
    others: dict[str, Any] = {}
    for name, setting in settings.items():
        if not _put(tree, name, setting.value):
            others[name] = setting.value
            name = f"settings.{name}"
        origins[name] = setting.origin.source
    if others:
        tree["settings"] = others
    lines = list(_lines(tree, "", 0, origins))
    width = min(max((len(text) for text, _ in lines), default=0), 60)
    told = ((text, defuse_commands(origin)) for text, origin in lines)
    return "".join(f"{text:<{width}}  # {origin}\n" if origin else f"{text}\n" for text, origin in told)


def _put(tree: dict[str, Any], name: str, value: object) -> bool:
    *parents, last = name.split(".")
    for parent in parents:
        if not isinstance(tree.get(parent), dict):
            return False
        tree = tree[parent]
    if last not in tree:
        return False
    tree[last] = value
    return True


def _lines(value: dict[str, Any] | list[Any], prefix: str, depth: int, origins: dict[str, str]) -> Iterator[_Line]:
    """Every line of the YAML with its origin; containers that are not empty have none."""
    pad = "  " * depth
    if isinstance(value, dict):
        entries = [
            (f"{prefix}.{key}" if prefix else key, f"{pad}{_scalar(key)}:", item) for key, item in value.items()
        ]
    else:
        entries = [(f"{prefix}[{index}]", f"{pad}-", item) for index, item in enumerate(value)]
    for key, start, item in entries:
        if isinstance(item, dict | list) and item:
            inner = _lines(item, key, depth + 1, origins)
            if start.endswith("-"):  # `- id: npm`, the first line beside the dash
                first, origin = next(inner)
                yield f"{start} {first.lstrip()}", origin
            else:
                yield start, ""
            yield from inner
        else:
            yield f"{start} {_scalar(item)}", origins.get(printable(key), origins.get(key, "default"))


_Line = tuple[str, str]


def _scalar(value: object) -> str:
    """One line that YAML reads as this value; text is quoted wherever it could be read as something else."""
    import yaml

    if isinstance(value, dict | list):
        return "{}" if isinstance(value, dict) else "[]"
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    text = str(value)
    if text and all(char.isascii() and (char.isalnum() or char in "._-/:") for char in text):
        loader: Any = yaml.resolver.Resolver()
        tag = loader.resolve(yaml.ScalarNode, text, (True, False))
        if text[0].isalnum() and not text.endswith(":") and tag == "tag:yaml.org,2002:str":
            return text
    dumped: str = yaml.dump(text, default_style='"', width=10**9)
    # To YAML the same; GitHub's runner would take `##[` in the output of a step for a command.
    return dumped.rstrip("\n").replace("##[", "##\\x5B")
