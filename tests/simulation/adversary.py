"""Whoever may push to the store and has no key: forges records, anchors and timestamps, replays what is marked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lineal.oci.image import encode
from lineal.oci.types import Blob, Manifest
from lineal.store.record import PREFIX, SIGNATURES, record_documents, stage_index
from lineal.store.statement import Builder, Making
from lineal.store.tags import LAST, anchor_tag, open_anchor_tag, parse_stage_tag, stage_tag
from lineal.trust.keys import SigningKey
from lineal.trust.mark import MARK, Marks, TrustKey
from lineal.trust.signed import signer
from tests.simulation.history import RUNS, line
from tests.simulation.registry import Shelf
from tests.simulation.world import START, WRITE, Actor
from tests.unit.stages.workbench import built, record

REPOSITORY = "registry.test/app"
KEY = TrustKey(bytes(range(32)))
FOREIGN = TrustKey(bytes(range(100, 132)))
SIGNING, FOREIGN_SIGNING = (SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([one] * 32))) for one in (1, 2))
PAUSE = (0.0, 0.0, 0.01, 0.3, 1.0, 5.0)


class Adversary:
    """Acts some times at moments of the world's choice, on stages that honest runs build."""

    def __init__(self, shelf: Shelf, stages: Sequence[str], *, destroys: bool, signed: bool = False) -> None:
        """`destroys`: it also moves and deletes tags, which a registry with immutable tags refuses. `signed`: what it
        is after is signed, not marked."""
        self._shelf, self._stages, self._destroys, self._signed = shelf, stages, destroys, signed

    def work(self, actor: Actor) -> None:
        deeds: list[Callable[[Actor], None]] = [self._forge, self._forge, self._replay]
        if self._signed:
            deeds += [self._sign, self._sign]
        if self._destroys:
            deeds += [self._move, self._delete]
        for _ in range(1 + actor.world.choices.below(8)):
            actor.wait(actor.world.choices.one(PAUSE))
            actor.world.choices.one(deeds)(actor)

    def _forge(self, actor: Actor) -> None:
        """A stage of its own that claims to be of somebody's commit."""
        choose = actor.world.choices
        victim = line(choose.one(tuple(RUNS)))
        checksum, created = choose.one(self._stages), self._time(actor)
        found = record(*victim.recorded, checksum=checksum, tree=victim.tree, branch=victim.branch, created=created)
        evil = built(f"evil {choose.below(4)}")
        blobs, beside = record_documents(found, evil.inputs, evil.filesystem, evil.image.manifest.digest)
        self._keep((Blob.of(evil.image.config), *blobs), (evil.image.manifest, beside))
        index = stage_index(evil.image, beside, found, evil.platform)
        how = choose.below(4)
        if how == 1:
            index = Marks([FOREIGN]).marked(index, REPOSITORY)
        elif how == 2 and not self._signed and (genuine := self._genuine(actor)) is not None:
            index = _with(index, MARK, genuine.json["annotations"][MARK])
        elif how == 3:
            # Of a store of its own, where a protected pipeline may well have marked it.
            index = Marks([KEY]).marked(index, "registry.test/elsewhere")
        self._put(actor, index, checksum, created)

    def _sign(self, actor: Actor) -> None:
        """A stage of its own with a signature: of another key, of the true one for another store or pull request, or
        the true signature of something else; with other files beside it."""
        choose = actor.world.choices
        victim = line(choose.one(tuple(RUNS)))
        checksum, created = choose.one(self._stages), self._time(actor)
        found = record(*victim.recorded, checksum=checksum, tree=victim.tree, branch=victim.branch, created=created)
        evil = built(f"evil {choose.below(4)}")
        where = Builder(store=REPOSITORY)
        how = choose.below(5)
        key: SigningKey = FOREIGN_SIGNING
        if how == 1:
            key, where = SIGNING, Builder(store="registry.test/elsewhere")
        elif how == 2:
            key, where = SIGNING, Builder(store=REPOSITORY, pull_request=7)
        blobs, beside = record_documents(
            found, evil.inputs, evil.filesystem, evil.image, evil.platform, Making("RUN evil", builder=where),
            signer(key), created,
        )  # fmt: skip
        if how >= 3 and (genuine := self._genuine(actor)) is not None:
            theirs = self._shelf.manifests[genuine.json["manifests"][1]["digest"]]
            beside = _grafted(beside, theirs, files=how == 4)
        self._keep((Blob.of(evil.image.config), *blobs), (evil.image.manifest, beside))
        self._put(actor, stage_index(evil.image, beside, found, evil.platform), checksum, created)

    def _keep(self, blobs: Iterable[Blob], manifests: Iterable[Manifest]) -> None:
        self._shelf.blobs |= {blob.digest: blob.content if isinstance(blob.content, bytes) else b"" for blob in blobs}
        self._shelf.manifests |= {one.digest: one for one in manifests}

    def _replay(self, actor: Actor) -> None:
        """What is marked, for something else: edited, or as it is under other names."""
        choose, genuine = actor.world.choices, self._genuine(actor)
        if genuine is None:
            return
        checksum, victim = choose.one(self._stages), line(choose.one(tuple(RUNS)))
        edits: list[tuple[str, str]] = [
            ("", ""), ("checksum", checksum), ("commits", " ".join(victim.recorded)), ("tree", victim.tree),
            ("created", str(self._time(actor))), ("branch", victim.branch),
        ]  # fmt: skip
        key, value = choose.one(edits)
        index = _with(genuine, PREFIX + key, value) if key else genuine
        how = choose.below(4)
        if how >= 2:
            index = self._with_another_image(actor, index, beside=how == 2)
        self._put(actor, index, checksum, int(index.json["annotations"][PREFIX + "created"]))

    def _with_another_image(self, actor: Actor, index: Manifest, *, beside: bool) -> Manifest:
        """The same index around an image that some other stage has, or with that one beside its own."""
        document = json.loads(index.data)
        others = [one for one in self._shelf.manifests.values() if "manifests" in one.json]
        other = actor.world.choices.one(others).json["manifests"][0]
        own, *more = document["manifests"]
        document["manifests"] = [own, *more, other] if beside else [other, *more]
        return Manifest(encode(document), index.media_type)

    def _put(self, actor: Actor, index: Manifest, checksum: str, created: int) -> None:
        names = [stage_tag(checksum, created), anchor_tag(checksum), open_anchor_tag(checksum)]
        for name in names if actor.world.choices.below(3) else names[1:]:
            free = self._destroys or name not in self._shelf.tags
            if free and actor.world.choices.below(4):
                self._ask(actor, name, lambda name=name: self._tag(index, name))  # type: ignore[misc]

    def _move(self, actor: Actor) -> None:
        """A tag at what another one names."""
        names = sorted(self._shelf.tags)
        if names:
            name, other = actor.world.choices.one(names), actor.world.choices.one(names)
            self._ask(actor, name, lambda: self._shelf.tags.update({name: self._shelf.tags.get(other, "")}))

    def _delete(self, actor: Actor) -> None:
        names = sorted(self._shelf.tags)
        if names:
            name = actor.world.choices.one(names)

            def delete() -> None:
                self._shelf.tags.pop(name, None)
                self._shelf.when.pop(name, None)

            self._ask(actor, name, delete)

    def _tag(self, index: Manifest, name: str) -> None:
        if name in self._shelf.tags and not self._destroys:
            return
        self._shelf.manifests[index.digest] = index
        self._shelf.tags[name] = index.digest
        self._shelf.when.setdefault(name, self._shelf.world.time)
        self._shelf.forged.add(name)

    def _ask(self, actor: Actor, name: str, do: Callable[[], Any]) -> None:
        actor.request(f"PUT {name[62:]}", WRITE, do)

    def _genuine(self, actor: Actor) -> Manifest | None:
        found = [
            manifest for tag, digest in sorted(self._shelf.tags.items())
            if parse_stage_tag(tag) and (manifest := self._shelf.manifests.get(digest)) is not None
            and (MARK in manifest.json["annotations"] or (self._signed and self._has_signature(manifest)))
        ]  # fmt: skip
        return actor.world.choices.one(found) if found else None

    def _has_signature(self, index: Manifest) -> bool:
        beside = self._shelf.manifests.get(index.json["manifests"][1]["digest"])
        return beside is not None and SIGNATURES in beside.json["layers"][0].get("annotations", {})

    def _time(self, actor: Actor) -> int:
        now = int((START + actor.world.time) * 1000)
        return actor.world.choices.one((1, now - 60_000, now - 1, now, now + 1000, LAST))


def _grafted(own: Manifest, theirs: Manifest, *, files: bool) -> Manifest:
    """A record with what others have signed, and files of its own; else with their signature alone."""
    document, signed = json.loads(own.data), theirs.json["layers"][0]
    if files:
        document["layers"][0] = signed
    else:
        document["layers"][0]["annotations"][SIGNATURES] = signed["annotations"][SIGNATURES]
    return Manifest(encode(document), own.media_type)


def _with(index: Manifest, annotation: str, value: str) -> Manifest:
    document = json.loads(index.data)
    document["annotations"][annotation] = value
    return Manifest(encode(document), index.media_type)
