"""`lineal bundle`: a chart with its image digests as one artifact, published, installed and moved."""

from __future__ import annotations

from typing import Any

import click

from lineal.cli.flags import AWAY, CLUSTER, FETCH, POLICY, RELEASE, REPORT, RUN, SCHEMA, option, options
from lineal.cli.runtime import session_of


@click.group(epilog="\b\nExample:\n  lineal bundle publish --version 1.2.0")
def bundle() -> None:
    """Publish a chart with its image digests as one artifact, install it anywhere, move it.

    A bundle is an ordinary chart in a registry: `helm install NAME oci://…` takes it, too.
    """


@bundle.command(epilog="\b\nExamples:\n  lineal bundle publish\n"
                "  lineal bundle publish --version 1.2.0 --to registry.example.com/team/charts/shop")  # fmt: skip
@options(RUN, SCHEMA)
@option("--values", "One more values file. May be repeated; later ones win.", metavar="FILE", multiple=True)
@click.option("--version", "bundle_version", metavar="VERSION",
              help="Its version (default: that of the git tag, else the chart's with the commit).  "
              "[LINEAL_BUNDLE_VERSION]")  # fmt: skip
@click.option("--to", "bundle_repo", metavar="HOST/REPOSITORY",
              help="Where to publish it (default: the chart's name below the store's repository).  "
              "[LINEAL_BUNDLE_REPO]")  # fmt: skip
def publish(**given: Any) -> None:
    """Publish chart, values and digests of this commit; print the bundle's reference.

    Refuses when an image of this commit is not published. A published version never changes.
    """
    from lineal.commands.bundle import publish

    with session_of(given) as session:
        publish(session)


@bundle.command(epilog="\b\nExamples:\n  lineal bundle apply oci://registry.example.com/team/shop/shop:1.2.0 "
                "--env prod\n  lineal bundle apply registry.example.com/team/shop/shop@sha256:… "
                "--values prod.yaml")  # fmt: skip
@click.argument("reference", metavar="REFERENCE")
@options(AWAY, POLICY, REPORT, RELEASE, CLUSTER)
def apply(reference: str, **given: Any) -> None:
    """Install or upgrade a release from a bundle, and wait until it is ready. Needs no repository.

    A release that does not become ready is rolled back.
    """
    from lineal.commands.bundle import apply

    with session_of(given) as session:
        apply(session, reference)


@bundle.command(epilog="\b\nExample:\n  lineal bundle copy oci://registry.example.com/team/shop/shop:1.2.0 "
                "registry.customer.example/shop")  # fmt: skip
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@options(FETCH, POLICY)
@click.option("--all-images", is_flag=True, help="Copy the images of others that it uses, too.")
def copy(source: str, target: str, all_images: bool, **given: Any) -> None:
    """Copy a bundle and its images to another registry; print the new bundle's reference.

    FROM is a bundle, TO a repository for the images: the bundle comes to TO/NAME, the chart's name. The images keep
    their tags and digests; the copied bundle names them at their new place.
    """
    from lineal.commands.bundle import copy

    with session_of(given) as session:
        copy(session, source, target, all_images=all_images)
