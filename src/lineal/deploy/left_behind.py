"""What an uninstall leaves in the namespace: objects that the chart wants kept, volumes of StatefulSets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lineal.deploy.cluster_objects import ClusterObjects, is_kept
from lineal.deploy.findings import stays
from lineal.errors import DeployFailed
from lineal.kube.client import KubeClient
from lineal.kube.json_fields import at
from lineal.kube.login import KubeUnavailable
from lineal.kube.objects import name_of

if TYPE_CHECKING:
    from lineal.deploy.helm.client import Helm
    from lineal.deploy.helm.manifests import ReleaseManifests
    from lineal.deploy.release import Release


@dataclass(frozen=True, slots=True)
class LeftBehind:
    release: Release
    found: ReleaseManifests | None
    """What is deployed of the release, if anything."""
    objects: ClusterObjects | None
    """None where the cluster lets itself be asked by helm alone."""

    @classmethod
    def of(cls, helm: Helm, release: Release, found: ReleaseManifests | None) -> LeftBehind:
        try:
            api = KubeClient.of_helm(helm.environ, release.kube_context)
        except KubeUnavailable:
            return cls(release, found, None)
        return cls(release, found, ClusterObjects(api, release.namespace))

    def check(self) -> None:
        """Raises `DeployFailed` when the namespace has objects that a chart wants kept: they would go with it."""
        here = self.release.namespace
        mine = [one for one in self._kept if at(one, "metadata", "namespace") in (None, "", here)]
        kept = sorted({*map(name_of, mine), *(self.objects.kept() if self.objects else [])})
        if kept:
            what = f"The namespace {here} has objects that their chart wants kept: {', '.join(kept)}."
            remedy = "Leave --with-namespace out, or give --delete-kept, and they are deleted with it."
            raise DeployFailed(what, id="LN-6054", remedy=remedy)

    @property
    def there(self) -> list[str]:
        """The objects of the release that are there still, without those that its chart wants kept."""
        mine = [one for one in (self.found.objects if self.found else []) if not is_kept(one)]
        return self.objects.left_of(mine, self.release) if self.objects else []

    @property
    def unserved(self) -> tuple[str, str] | None:
        """The kind and API version of an object of the release that the cluster knows no more."""
        return self.objects.unserved(self.found.objects) if self.found and self.objects else None

    def sentences(self) -> Iterator[str]:
        """About what is left when the release is uninstalled."""
        if self._kept:
            yield f"Kept, as the chart says: {', '.join(map(name_of, self._kept))}."
        if self.found is not None and self.objects and (claims := self.objects.claims(self.found.objects)):
            yield stays(claims)

    @property
    def _kept(self) -> list[dict[str, object]]:
        return [one for one in (self.found.objects if self.found else []) if is_kept(one)]
