"""The stages of a run as a Mermaid picture: what was there already and what was made, told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from lineal.ci.github.summary.markdown_escape import label
from lineal.report.model import Report, StageReport
from lineal.report.stage_graph import ORDER, StageGraph, counted, worst
from lineal.text import duration, plural

_EACH = 12
"""Up to this many stages are all drawn; of more, those in a row that were there already are one box."""
_BOXES = 60
_EDGES = 400
_CHARACTERS = 40_000
"""Mermaid gives up at 500 edges and 50000 characters; people do before."""
_STYLE = {
    "failed": "fill:#cf222e,stroke:#82071e,color:#ffffff",
    "missing": "fill:#fff8c5,stroke:#9a6700,color:#1f2328,stroke-dasharray:4 3",
    "built": "fill:#1f883d,stroke:#116329,color:#ffffff",
    "assembled": "fill:#1f883d,stroke:#116329,color:#ffffff",
    "adopted": "fill:#0969da,stroke:#0550ae,color:#ffffff",
    "cached": "fill:#eaeef2,stroke:#afb8c1,color:#57606a",
}


@dataclass
class _Box:
    image: str
    stages: list[StageReport]
    text: str = ""

    @property
    def outcome(self) -> str:
        return worst(self.stages)


def graph(report: Report) -> str:
    """The fenced picture, empty when there is nothing to draw or too much of it."""
    lineage = StageGraph(report)
    for reduce in (_all_stages, _work, _images):
        picture = _draw(reduce(report, lineage), lineage)
        if picture is not None:
            return picture
    return ""


# --- three ways to reduce ---------------------------------------------------------------------------------------


def _all_stages(report: Report, lineage: StageGraph) -> list[_Box]:
    """Every stage; those in a row that were there already share a box when there are many."""
    together = len(report.stages) > _EACH
    uses = Counter(before.checksum for stage in report.stages for before in lineage.before(stage))
    boxes: dict[str, _Box] = {}
    for stage in report.stages:
        below = lineage.stages.get(stage.parent or "")
        if together and below is not None and _in_a_row(stage, below, uses[below.checksum]):
            boxes[stage.checksum] = boxes[below.checksum]
            boxes[stage.checksum].stages.append(stage)
        else:
            boxes[stage.checksum] = _Box(stage.image, [stage])
    return list({id(box): box for box in boxes.values()}.values())


def _in_a_row(stage: StageReport, below: StageReport, uses: int) -> bool:
    cached = stage.outcome == below.outcome == "cached"
    return cached and uses == 1 and not stage.inputs and stage.image == below.image


def _work(report: Report, _: StageGraph) -> list[_Box]:
    """The new stages; of each image that has something new, all the rest as one box."""
    boxes = []
    for name, own in _by_image(report).items():
        work = [stage for stage in own if stage.outcome != "cached"]
        rest = [stage for stage in own if stage.outcome == "cached"]
        if work:
            boxes += [_Box(name, rest)] * bool(rest) + [_Box(name, [stage]) for stage in work]
    return boxes


def _images(report: Report, _: StageGraph) -> list[_Box]:
    """A box for each image that has something new."""
    boxes = []
    for name, own in _by_image(report).items():
        if worst(own) != "cached":
            boxes.append(_Box(name, own, counted(own)))
    return boxes


def _by_image(report: Report) -> dict[str, list[StageReport]]:
    found: dict[str, list[StageReport]] = {}
    for stage in report.stages:
        found.setdefault(stage.image, []).append(stage)
    return found


# --- drawing ----------------------------------------------------------------------------------------------------


def _draw(boxes: list[_Box], lineage: StageGraph) -> str | None:
    """None when it would be too large."""
    if len(boxes) > _BOXES:
        return None
    if not boxes:
        return ""
    ids = {stage.checksum: number for number, box in enumerate(boxes) for stage in box.stages}
    edges = _edges(boxes, ids, lineage)
    lines = ["```mermaid", "flowchart LR", *_groups(boxes), *edges, *_classes(boxes), "```"]
    text = "\n".join(lines)
    return None if len(edges) > _EDGES or len(text) > _CHARACTERS else text


def _groups(boxes: list[_Box]) -> Iterator[str]:
    """The boxes, those of an image in a frame with its name."""
    images: dict[str, list[tuple[int, _Box]]] = {}
    for index, box in enumerate(boxes):
        images.setdefault(box.image, []).append((index, box))
    for number, (image, members) in enumerate(images.items()):
        if members[0][1].text:
            yield from (f'  s{index}["{label(image)}<br/>{box.text}"]' for index, box in members)
            continue
        yield f'  subgraph g{number}["{label(image) or number}"]'
        yield from (f"    {_box(index, box)}" for index, box in members)
        yield "  end"


def _box(index: int, box: _Box) -> str:
    if len(box.stages) > 1:
        words = list(dict.fromkeys(stage.instruction.split(" ")[0].upper() for stage in box.stages))
        return f's{index}("{plural(len(box.stages), "stage")}<br/>{label(", ".join(words))}")'
    stage = box.stages[0]
    took = duration(stage.duration)
    text = (label(stage.instruction) or "metadata") + (f"<br/>{took}" if took else "")
    return f's{index}("{text}")' if stage.outcome == "cached" else f's{index}["{text}"]'


def _edges(boxes: list[_Box], ids: dict[str, int], lineage: StageGraph) -> list[str]:
    """A line from a parent; a dotted one from a stage whose files are used, or an image that others require."""
    found: dict[tuple[int, int], str] = {}
    for index, box in enumerate(boxes):
        for stage in box.stages:
            for before in lineage.before(stage):
                origin = ids.get(before.checksum)
                if origin is not None and origin != index:
                    arrow = "-->" if before.checksum == stage.parent else "-.->"
                    found.setdefault((origin, index), arrow)
    for name, image in lineage.images.items():
        for required in lineage.requires(name):
            origin, end = ids.get(lineage.images[required].checksum), ids.get(image.checksum)
            if origin is not None and end is not None and origin != end:
                found.setdefault((origin, end), "-. required .->")
    return [f"  s{origin} {arrow} s{index}" for (origin, index), arrow in found.items()]


def _classes(boxes: list[_Box]) -> Iterator[str]:
    for outcome in ORDER:
        members = [f"s{index}" for index, box in enumerate(boxes) if box.outcome == outcome]
        if members:
            yield f"  classDef {outcome} {_STYLE[outcome]}"
            yield f"  class {','.join(members)} {outcome}"
    if not boxes[0].text:
        frames = len({box.image for box in boxes})
        yield "  classDef image fill:transparent,stroke:#8c959f"
        yield f"  class {','.join(f'g{number}' for number in range(frames))} image"
