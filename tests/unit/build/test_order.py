"""The order alone: what can be made, published, or has to be made again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lineal.build.order import Order


@dataclass(frozen=True)
class Node:
    checksum: str
    below: tuple[Node, ...] = ()
    needs: Mapping[str, Node] = field(default_factory=dict)

    def dependencies(self) -> list[Node]:
        return [*self.below, *self.needs.values()]


A = Node("a")
B = Node("b", (A,))
C = Node("c", (B,))
NEEDS = Node("n", needs={"A": A})


class Desk:
    """An order, and what is published."""

    def __init__(self, *nodes: Node) -> None:
        self.published: dict[str, str] = {}
        self.order = Order(nodes, self.published.get)

    def make(self, node: Node, image: str | None) -> None:
        assert node in self.order.startable()
        self.order.begin(node)
        self.order.made(node, image)


def test_a_stage_can_be_made_as_soon_as_what_it_is_made_of_is_at_hand() -> None:
    desk = Desk(A, B, C)
    assert desk.order.startable() == [A]
    desk.make(A, "a1")
    assert desk.order.startable() == [B]
    desk.make(B, "b1")
    assert desk.order.publishable() == [A] and desk.order.publishable() == []
    desk.published["a"] = "a1"
    assert desk.order.outdated() == [] and desk.order.publishable() == [B]


def test_a_reference_is_not_known_before_it_is_published() -> None:
    desk = Desk(A, NEEDS)
    desk.make(A, "a1")
    assert desk.order.startable() == []
    desk.published["a"] = "a1"
    assert desk.order.startable() == [NEEDS]


def test_what_is_made_of_a_loser_waits_again_with_all_that_is_made_of_it() -> None:
    desk = Desk(A, B, C)
    for node, image in ((A, "a1"), (B, "b1"), (C, "c1")):
        desk.make(node, image)
    assert desk.order.publishable() == [A]
    desk.published["a"] = "theirs"
    assert desk.order.outdated() == [B, C]
    assert desk.order.startable() == [B]
    desk.make(B, "b2")
    assert desk.order.outdated() == [] and desk.order.startable() == [C]


def test_what_was_being_made_of_a_loser_waits_again_when_it_ends() -> None:
    desk = Desk(A, B, C)
    desk.make(A, "a1")
    desk.make(B, "b1")
    desk.order.begin(C)
    desk.published["a"] = "theirs"
    assert desk.order.outdated() == [B]
    desk.order.made(C, "c1")
    assert desk.order.outdated() == [C] and desk.order.publishable() == [A]


def test_a_failure_counts_when_what_it_was_made_of_does() -> None:
    desk = Desk(A, B)
    desk.make(A, "a1")
    desk.make(B, None)
    assert desk.order.publishable() == [A] and desk.order.unpublished() == [B]
    desk.published["a"] = "a1"
    assert desk.order.outdated() == [] and desk.order.publishable() == [B]
