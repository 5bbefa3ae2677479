"""Every setting of a run with its origin, for `lineal config`."""

from __future__ import annotations

from typing import Any

from lineal.config.setting import Setting
from lineal.session.session import Session


def settings(run: Session) -> dict[str, Setting[Any]]:
    """Raises `BadConfiguration`, also for an address that must not be shown because a password stands in it."""
    options, deploy = run.options, run.loaded.project.deploy
    _ = run.lock_used
    found: dict[str, Setting[Any]] = {
        "repo": run.repo,
        "lock": run.lock_choice,
        "env": run.env,
        "jobs": options.job_count(),
        "dev": options.flag("dev"),
        "ignore-uncommitted": options.flag("ignore-uncommitted"),
        "engine-network": run.engine_network,
        "kube-context": options.text("kube-context"),
        "skip-unchanged": options.flag("skip-unchanged", default=True),
        "report": options.text("report"),
        "cleanup.keep_days": run.days_kept,
        **{name: options.listed(name) for name in ("insecure-registry", "values", "var", "set", "secret", "ssh")},
    }
    if deploy is not None:
        for name in ("release", "namespace", "timeout"):
            key = f"deploy.{name}"
            found[key] = options.text(name, run.loaded.setting(key), getattr(deploy, name))
    return found
