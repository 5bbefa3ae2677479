"""The run in one sentence: the first line of a page, read by people who read nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lineal.report.markup import Code
from lineal.report.model import ReleaseReport, Report
from lineal.report.stage_graph import StageGraph, worst
from lineal.text import plural

_NAMED = 3
_INTERRUPTED = 130
_DEPLOYS = ("deploy", "converge")


def headline(report: Report, code: Code) -> str:
    """On one line, in the markup of `code`."""
    if report.error is not None:
        return _failed(report, code)
    new = [name for name, outcome in _outcomes(report).items() if outcome in ("missing", "built", "assembled")]
    if report.command == "plan":
        return _planned(report, new, code)
    parts = list(_parts(report, new, code))
    if not parts:
        return f"✅ {_all(report).capitalize()}."
    sentence = ", and ".join(parts)
    drifted = report.release is not None and report.release.status == "drifted"
    mark = "⚠️" if drifted or (new and not report.may_write) else "✅"
    return f"{mark} {sentence[0].upper()}{sentence[1:]}{_others(report, new) if new else ''}."


def _parts(report: Report, new: Sequence[str], code: Code) -> Iterator[str]:
    """The deeds of the run, each a verb and its object."""
    if new:
        yield f"built {_names(new, code)}"
        if not report.may_write:
            yield "published nothing"
    elif report.command in ("build", "converge"):
        yield "built nothing" if report.release is not None else f"nothing to build: {_all(report)} already"
    if report.command == "render":
        yield f"rendered the manifests with {plural(len(report.images), 'image')}"
        yield from _handed_over(report, code)
    if report.release is not None:
        yield _released(report, report.release, code)


def _handed_over(report: Report, code: Code) -> Iterator[str]:
    found = report.handover
    if found is None:
        return
    where = f"{code(found.branch)} of {code(found.repository, 120)}"
    if found.outcome == "committed":
        yield f"committed {plural(len(found.changed), 'file')} to {where}"
    else:
        yield f"committed nothing to {where}: " + (
            "a later commit was there" if found.outcome == "left" else "nothing changed"
        )


def _released(report: Report, release: ReleaseReport, code: Code) -> str:
    name = code(release.name)
    if report.command == "dismiss":
        there = release.status == "uninstalled"
        return f"uninstalled {name}" if there else f"nothing to uninstall: there is no {name}"
    if report.command == "rollback":
        return f"rolled {name} back"
    if report.command == "drift":
        return f"{name} is as it was deployed" if release.status == "as deployed" else f"{name} has drifted"
    if release.status == "unchanged":
        return f"{name} is as it was"
    source = f" from the bundle {code(report.bundle.version or '')}" if report.bundle is not None else ""
    return f"deployed {name}{source}"


def _outcomes(report: Report) -> dict[str, str]:
    lineage = StageGraph(report)
    return {image.name: worst(lineage.own(image.name)) for image in report.images}


def _planned(report: Report, new: Sequence[str], code: Code) -> str:
    if not new and report.changes:
        return f"📋 Nothing to build; {plural(len(report.changes), 'object')} in the cluster would change."
    if not new:
        return f"✅ Nothing to build: {_all(report)}."
    return f"📋 {_names(new, code)} would be built{_others(report, new)}."


def _names(names: Sequence[str], code: Code) -> str:
    if len(names) > _NAMED:
        return plural(len(names), "image")
    shown = [code(name) for name in names]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _others(report: Report, new: Sequence[str]) -> str:
    rest = len(report.images) - len(new)
    return "" if not rest else f"; {plural(rest, 'other image')} {'was' if rest == 1 else 'were'} there"


def _all(report: Report) -> str:
    count = len(report.images)
    if count < 3:
        return "the image was there" if count == 1 else "both images were there"
    return f"all {count} images were there"


def _failed(report: Report, code: Code) -> str:
    assert report.error is not None
    if report.error.code == _INTERRUPTED:
        return f"🛑 {code('lineal ' + report.command)} was interrupted."
    failed = next((stage for stage in report.stages if stage.outcome == "failed" and stage.output), None)
    failed = failed or next((stage for stage in report.stages if stage.outcome == "failed"), None)
    if failed is not None:
        return f"❌ {code(failed.instruction, 80)} failed in {code(failed.image)}."
    undone = report.release is not None and report.release.status == "rolled back"
    rest = " The release is as it was before." if undone else ""
    if report.bundle is not None and report.release is not None:
        return f"❌ {code(report.project or '')} {code(report.bundle.version or '')} was not deployed.{rest}"
    if report.command in _DEPLOYS and report.stages and all(image.digest for image in report.images):
        return f"❌ {code(report.project or '')} was not deployed; its images are published.{rest}"
    return f"❌ {code('lineal ' + report.command)} failed."
