"""Containers and volumes that a run makes in the engine and must not leave there."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from lineal.engine.docker import process_identity
from lineal.engine.docker.client import Client, Refused
from lineal.errors import LinealError

LABEL = "dev.lineal.run"
_WAITS = (0.1, 0.5, 2.0)
"""Seconds between the attempts to remove a container."""


class Removals:
    """What is removed beside the next commands: nobody needs to wait for it but the end of the run."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []

    def begin(self, remove: Callable[[], None]) -> None:
        thread = threading.Thread(target=remove, name="remove")
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        """Wait until all is gone."""
        while self._threads:
            self._threads.pop().join()


class RunResources:
    """Containers, volumes and committed images of one command; from the end of the `with` block on they are removed,
    whatever happened in it.

    Names are chosen here and noted before the engine is asked, so that an interrupt between its doing and its answer
    loses nothing. Their labels name this process: when it is killed, a later run removes them (see `orphans`)."""

    def __init__(
        self, client: Client, run: str, removals: Removals, reload: Callable[[], object] = lambda: None
    ) -> None:
        """`run` is the value of the label `dev.lineal.run` on everything. `reload` has the engine load the image of
        the containers again."""
        self._name = f"lineal-{uuid.uuid4().hex[:16]}"
        self._labels = {LABEL: run, **process_identity.labels()}
        self._client = client
        self._removals = removals
        self._reload = reload
        self._containers: list[str] = []
        self._volumes: list[str] = []
        self.images: list[str] = []
        """Ids of images that were committed."""

    def __enter__(self) -> RunResources:
        return self

    def __exit__(self, *_: object) -> None:
        self._removals.begin(self._remove)

    def _remove(self) -> None:
        threads = [threading.Thread(target=remove_container, args=(self._client, name)) for name in self._containers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name in self._volumes:
            remove_volume(self._client, name)
        for image in self.images:
            remove_image(self._client, image)

    def container(self, body: Mapping[str, Any], what: str) -> str:
        """Create a container and return its name."""
        name = f"{self._name}-{len(self._containers)}"
        self._containers.append(name)
        labelled = {**body, "Labels": self._labels}
        create = partial(self._client.call, "POST", "/containers/create", what, params={"name": name}, body=labelled)
        try:
            create()
        except Refused as refused:
            if "No such image" not in refused.reason:
                raise
            # Somebody has pruned: an image without a name is in use only from its first container on.
            self._reload()
            create()
        return name

    def volume(self) -> str:
        """Create a volume and return its name."""
        name = f"{self._name}-v{len(self._volumes)}"
        self._volumes.append(name)
        body = {"Name": name, "Driver": "local", "Labels": self._labels}
        self._client.call("POST", "/volumes/create", "create a volume", body=body)
        return name


def remove_container(client: Client, name: str) -> None:
    """Kill and remove a container, as far as possible: a run's own result or error matters more."""
    with contextlib.suppress(LinealError):
        for wait in _WAITS:
            try:
                params = {"force": "1", "v": "1"}
                client.call("DELETE", f"/containers/{name}", "remove a container", params=params)
            except Refused as refused:
                if refused.status == 404:
                    return
                # A process that is not quite dead keeps the engine from unmounting.
                time.sleep(wait)
            else:
                return


def remove_volume(client: Client, name: str) -> None:
    with contextlib.suppress(LinealError):
        client.call("DELETE", f"/volumes/{name}", "remove a volume", params={"force": "1"})


def remove_image(client: Client, image: str) -> None:
    """The image alone: its parent, which has no name either, is for the next command."""
    with contextlib.suppress(LinealError):
        client.call("DELETE", f"/images/{image}", "remove an image", params={"force": "1", "noprune": "1"})
