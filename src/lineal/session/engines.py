"""Which engine executes what in a run."""

from __future__ import annotations

from collections.abc import Callable

from lineal.ci.context import Context
from lineal.config.load import LoadedProject
from lineal.config.setting import DEFAULT
from lineal.engine.select import check
from lineal.engine.table import EngineTable, Named, parse_table
from lineal.oci.platform import normal
from lineal.session.settings import Settings


def engines_of(
    settings: Settings, loaded: LoadedProject, context: Context, warn: Callable[[str], None]
) -> EngineTable:
    """As the run says, else as lineal.yaml does. A stranger's commit does not say who executes its commands and gets
    this job's secrets. Raises `BadConfiguration`."""
    engine, written = settings.engine, loaded.project.engines
    table = parse_table(engine.value, engine.origin.source)
    if engine.origin is not DEFAULT or not written:
        return table
    if not context.trusted:
        warn("`engines` of lineal.yaml is left out: this commit is not the project's own.")
        return table
    named = {}
    for platform, name in written.items():
        place = loaded.place(f"engines.{platform}")
        named[normal(platform)] = Named(name.strip(), str(place))
        check(name.strip(), str(place))
    return EngineTable(table.default, named)
