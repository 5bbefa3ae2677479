"""What is to be published of each image: its final repositories, tags and annotations, as lineal.yaml says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field

from lineal.config.deferred import for_image
from lineal.config.image_flags import Description
from lineal.config.load import LoadedProject
from lineal.config.publish import Publish, publish_of
from lineal.config.template import GitFacts
from lineal.errors import BadConfiguration, Location, Problems
from lineal.publish.tag_templates import Tag, own_tag, tag_of
from lineal.store.open import normal_address
from lineal.text import quoted
from lineal.value import dataclass


@dataclass(frozen=True, slots=True)
class Publication:
    """`repositories` has the addresses as they are written, at least one; the first is what deploys name. `tags` is
    empty for an image that gets a tag of its own."""

    image: str
    repositories: tuple[str, ...]
    tags: tuple[Tag, ...]
    annotations: Mapping[str, str]
    apart: Mapping[str, tuple[Tag, ...]] = field(default_factory=dict)
    """The tags of repositories that have not those of all."""
    provenance: bool = True
    """Whether a statement lies beside it that tells how it was made."""

    def tags_in(self, repository: str) -> tuple[Tag, ...]:
        return self.apart.get(repository, self.tags)

    def tags_of(self, digest: str, repository: str = "") -> tuple[Tag, ...]:
        """The tags of the finished image with this digest in a repository, by default the first: at least one."""
        return self.tags_in(repository or self.repositories[0]) or (own_tag(digest),)


def publications(loaded: LoadedProject, git: GitFacts, store: str) -> dict[str, Publication]:
    """Of every image that is finished. `store` is the store's address, where images go that name no other place.

    Raises `BadConfiguration` for all that is wrong: an address that is none, a text that is no tag, two images that
    would write one tag."""
    found, problems = {}, Problems()
    if loaded.described is not None:
        return _described(loaded, loaded.described, git)
    for name in loaded.project.images:
        one = _publication(loaded, name, git, store, problems)
        if one is not None:
            found[name] = one
    for error in _shared_tags(loaded, found):
        problems.add(error)
    problems.end()
    return found


def _publication(
    loaded: LoadedProject, name: str, git: GitFacts, store: str, problems: Problems
) -> Publication | None:
    image = loaded.project.images[name]
    wanted = publish_of(loaded.project.publish, image.publish)
    if wanted is None and (image.publish is False or len(image.platforms) == 1):
        return None
    # An image of several platforms is none of the stages, so it is always finished.
    wanted = wanted or Publish()
    repositories: dict[str, str] = {}
    for index, text in enumerate(wanted.to or []):
        address = for_image(text, name).strip()
        with problems.collected():
            if address:
                repositories.setdefault(_normal(address, loaded, _key(loaded, name, "to", index)), address)
    tags: dict[str, Tag] = {}
    for index, text in enumerate(wanted.tags or []):
        with problems.collected():
            tag = tag_of(text, name, git, loaded.place(_key(loaded, name, "tags", index)))
            if tag is not None:
                tags.setdefault(tag.name, tag)
    annotations = {key: for_image(text, name) for key, text in wanted.annotations.items()}
    return Publication(
        name,
        tuple(repositories.values()) or (store,),
        tuple(tags.values()),
        annotations,
        provenance=wanted.provenance is not False,
    )


def _described(loaded: LoadedProject, described: Description, git: GitFacts) -> dict[str, Publication]:
    """What `--push` publishes: each name of `--tag` in its own repository."""
    if not described.push:
        return {}
    ((name, image),) = loaded.project.images.items()
    tags: dict[str, tuple[Tag, ...]] = {}
    spellings: dict[str, str] = {}
    for reference in described.references:
        address, _, text = reference.rpartition(":")
        address = spellings.setdefault(normal_address(address), address)
        tag = tag_of(text, name, git, Location(loaded.file, None, "--tag"))
        if tag is not None:
            tags[address] = (*tags.get(address, ()), tag)
    wanted = publish_of(None, image.publish)
    assert wanted is not None
    return {
        name: Publication(
            name, tuple(tags), (), wanted.annotations, apart=tags, provenance=wanted.provenance is not False
        )
    }


def _key(loaded: LoadedProject, image: str, key: str, index: int) -> str:
    """Where an entry of `publish` is written: at the image, else for the whole project."""
    own = loaded.project.images[image].publish
    at_image = not isinstance(own, bool) and own is not None and getattr(own, key) is not None
    return f"images.{image}.publish.{key}[{index}]" if at_image else f"publish.{key}[{index}]"


def _normal(address: str, loaded: LoadedProject, key: str) -> str:
    try:
        return normal_address(address)
    except BadConfiguration as error:
        error.message = error.message.replace("The store's address", "The final repository")
        error.place = loaded.place(key)
        raise


def _shared_tags(loaded: LoadedProject, found: Mapping[str, Publication]) -> Iterator[BadConfiguration]:
    """The tags that two images would write in one repository."""
    owners: dict[tuple[str, str], str] = {}
    for name, one in found.items():
        for address in one.repositories:
            for tag in one.tags_in(address):
                owner = owners.setdefault((normal_address(address), tag.name), name)
                if owner != name:
                    yield BadConfiguration(
                        f"The images {quoted(owner)} and {quoted(name)} would both be {address}:{tag.name}.",
                        id="LN-1032",
                        place=loaded.place(_key(loaded, name, "tags", 0).removesuffix("[0]")),
                        remedy="Put {{ image }} into `to`, or {{ image | slug }} into the tag.",
                    )
