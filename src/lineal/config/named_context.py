"""`images.<name>.contexts`: what a name stands for in a Dockerfile, as `docker build --build-context` gives it."""

from typing import Annotated

from msgspec import Meta, Struct


class NamedContext(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `FROM name`, `COPY --from=name` and `RUN --mount=from=name` use. Give exactly one key."""

    context: Annotated[
        str | None,
        Meta(description="A directory of the commit, relative to the root; its own `.dockerignore` counts."),
    ] = None
    needs: Annotated[str | None, Meta(description="Another image of this file.")] = None
    image: Annotated[str | None, Meta(description="An image of a registry, as in `FROM`; `scratch` is empty.")] = None
    git: Annotated[
        str | None,
        Meta(description="A git repository at a full commit id: `https://example.com/app.git#COMMIT:folder`."),
    ] = None

    def given(self) -> list[str]:
        """The keys that are given."""
        return [key for key in self.__struct_fields__ if getattr(self, key) is not None]


_ONE = [{"required": [key], "properties": {key: {"type": "string"}}} for key in NamedContext.__struct_fields__]
OneContext = Annotated[NamedContext, Meta(extra_json_schema={"oneOf": _ONE})]
