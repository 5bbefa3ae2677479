"""The rules of a project beyond its types: paths in the commit, known needs without a cycle, names for Helm."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence

from lineal.config.caches import check_caches
from lineal.config.document import Path
from lineal.config.model import Deploy, Image, Project, Secret, Ssh, normal
from lineal.config.named_context import NamedContext
from lineal.config.platforms import check_engines, check_platforms
from lineal.config.rule_violation import RuleViolation
from lineal.config.run_options import GATEWAY, ULIMITS, bytes_of, soft_and_hard
from lineal.config.trust import Trust, check_trust
from lineal.context.remote_source import BadRemote, GitSource
from lineal.context.remote_source import parse as parse_remote
from lineal.errors import BadConfiguration
from lineal.lock.address import BadAddress, parse
from lineal.oci.reference import familiar, parse_reference
from lineal.regex import regex
from lineal.text import did_you_mean, quoted

UNKNOWN_ENV = "{{ env }}"
"""Stands in a `deploy` value for the environment that this run was not given."""
RELEASE_LENGTH = 53
NAMESPACE_LENGTH = 63
_LABEL = regex(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_RELEASE = regex(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_VARIABLE = regex(r"[A-Za-z_][A-Za-z0-9_]*")
_DURATION = regex(r"([0-9]+(\.[0-9]+)?(ms|s|m|h))+")
_HOST = regex(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*", re.IGNORECASE | re.ASCII)
_GROUP = regex(r"/?[\w.:@-]+(/[\w.:@-]+)*", re.ASCII)


def check(project: Project) -> Iterator[RuleViolation]:
    """The rules that are broken."""
    for name, image in project.images.items():
        yield from _check_image(project, image, ("images", name))
    yield from _check_cycles(project)
    if project.deploy is not None:
        yield from _check_deploy(project.deploy)
    if project.repo is not None and (not project.repo or re.search(r"\s", project.repo)):
        remedy = "Write `registry.example.com/team/app` or `layout:PATH`."
        yield RuleViolation(("repo",), f"{quoted(project.repo)} is not a store's address.", remedy)
    yield from check_caches(project.caches, ("caches",))
    yield from _check_lock(project.lock)
    yield from check_engines(project.engines, ("engines",))
    if project.trust is not None:
        yield from _check_trust(project.trust)


def _check_trust(trust: Trust) -> Iterator[RuleViolation]:
    yield from check_trust(trust)
    for index, signer in enumerate(trust.accept):
        if signer.key is not None:
            yield from _check_inside(("trust", "accept", index, "key"), signer.key)


def _check_lock(lock: str) -> Iterator[RuleViolation]:
    if UNKNOWN_ENV in lock:
        return
    try:
        parse(lock)
    except BadAddress as error:
        yield RuleViolation(("lock",), f"{error.problem}.", error.remedy)


def release_name(project: str, env: str | None, limit: int) -> str:
    """`project-env` or `project`, as Kubernetes takes it. Text that had to change gets a hash: two
    environments never share a release."""
    text = project if env is None else f"{project}-{env}"
    if _LABEL.fullmatch(text) and len(text) <= limit:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    clean = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[: limit - 9].rstrip("-")
    return f"{clean}-{digest}" if clean else f"x-{digest}"


def _check_image(project: Project, image: Image, path: Path) -> Iterator[RuleViolation]:
    yield from _check_inside((*path, "context"), image.context)
    if image.dockerfile is not None:
        yield from _check_inside((*path, "dockerfile"), image.dockerfile)
    if image.target is not None and not image.target.strip():
        yield RuleViolation((*path, "target"), "The target is empty.", "Name a `FROM … AS name`, or remove the key.")
    for argument, needed in image.needs.items():
        if needed not in project.images:
            remedy = did_you_mean(needed, project.images, owner="The images are")
            yield RuleViolation((*path, "needs", argument), f"There is no image {quoted(needed)}.", remedy)
        if argument in image.args:
            message = f"{quoted(argument)} is given in both `args` and `needs`."
            yield RuleViolation((*path, "needs", argument), message, "Keep one of them.")
    for index, required in enumerate(image.requires):
        if required not in project.images:
            remedy = did_you_mean(required, project.images, owner="The images are")
            yield RuleViolation((*path, "requires", index), f"There is no image {quoted(required)}.", remedy)
    yield from _check_contexts(project, image, (*path, "contexts"))
    yield from check_caches(image.caches, (*path, "caches"))
    yield from _check_run_options(image, path)
    yield from _check_secrets(image.secrets, (*path, "secrets"))
    yield from _check_agents(image.ssh, (*path, "ssh"))
    yield from check_platforms(image.platforms, (*path, "platforms"))


def _check_run_options(image: Image, path: Path) -> Iterator[RuleViolation]:
    for host, address in image.add_hosts.items():
        where = (*path, "add_hosts", host)
        if len(host) > 253 or not _HOST.fullmatch(host):
            yield RuleViolation(
                where, f"{quoted(host)} is not the name of a host.", "Write it as `mirror.example.com`."
            )
        if address != GATEWAY and not _is_address(address):
            message = f"{quoted(address)} is not an address."
            yield RuleViolation(where, message, f"Write one of IPv4 or IPv6, or `{GATEWAY}`.")
    if image.shm_size is not None and not _bytes(image.shm_size):
        message = f"{quoted(image.shm_size)} is not a size of memory."
        yield RuleViolation((*path, "shm_size"), message, "Write it as `256m` or `1g`.")
    for name, limit in image.ulimits.items():
        soft, hard = soft_and_hard(limit)
        if name not in ULIMITS:
            remedy = did_you_mean(name, ULIMITS, owner="They are")
            yield RuleViolation((*path, "ulimits", name), f"There is no limit {quoted(name)}.", remedy)
        if hard != -1 and not -1 < soft <= hard:
            message = f"The soft limit {soft} is above the hard one, {hard}."
            yield RuleViolation((*path, "ulimits", name), message, "Write the lower number as `soft`.")
    group = image.cgroup_parent
    if group is not None and (not _GROUP.fullmatch(group) or ".." in group.split("/")):
        message = f"{quoted(group)} is not the name of a control group."
        yield RuleViolation((*path, "cgroup_parent"), message, "Write it as `builds` or `builds.slice`.")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _bytes(size: str) -> int:
    try:
        return bytes_of(size)
    except ValueError:
        return 0


def _check_contexts(project: Project, image: Image, path: Path) -> Iterator[RuleViolation]:
    seen: dict[str, str] = {}
    for name, named in image.contexts.items():
        where = (*path, name)
        try:
            meant = familiar(name)
        except BadConfiguration as error:
            yield RuleViolation(where, error.message, "Use lower-case letters, digits and `-`, or a whole reference.")
            continue
        if meant in ("scratch", "context"):
            yield RuleViolation(where, f"{quoted(meant)} always means what it is.", "Choose another name.")
        if meant in seen:
            message = f"{quoted(name)} and {quoted(seen[meant])} are the same name."
            yield RuleViolation(where, message, "Keep one of them.")
        seen[meant] = name
        if len(named.given()) != 1:
            few = " and ".join(f"`{key}`" for key in named.given()) or "nothing"
            message = f"The context {quoted(name)} has {few}."
            yield RuleViolation(where, message, "Give exactly one of `context`, `needs`, `image` and `git`.")
            continue
        yield from _check_context(project, named, where)


def _check_context(project: Project, named: NamedContext, path: Path) -> Iterator[RuleViolation]:
    if named.context is not None:
        yield from _check_inside((*path, "context"), named.context)
    if named.needs is not None and named.needs not in project.images:
        remedy = did_you_mean(named.needs, project.images, owner="The images are")
        yield RuleViolation((*path, "needs"), f"There is no image {quoted(named.needs)}.", remedy)
    if named.image is not None and named.image in project.images:
        message = f"{quoted(named.image)} is an image of this file."
        yield RuleViolation((*path, "image"), message, f"Write `needs: {named.image}`.")
    elif named.image is not None and named.image != "scratch":
        try:
            parse_reference(named.image)
        except BadConfiguration as error:
            yield RuleViolation((*path, "image"), error.message, error.remedy or "Correct it.")
    if named.git is not None:
        yield from _check_git(named.git, (*path, "git"))


def _check_git(address: str, path: Path) -> Iterator[RuleViolation]:
    try:
        found = parse_remote(address)
    except BadRemote as error:
        # The address is not repeated: it may have a password in it.
        yield RuleViolation(path, f"The address {error}.", error.remedy)
        return
    if not isinstance(found, GitSource):
        message = f"{quoted(address)} is no git repository."
        yield RuleViolation(path, message, "Write its address with `.git` at the end: `https://…/app.git#COMMIT`.")
    elif not found.pinned:
        message = f"{quoted(address)} names no commit, so it may mean something else tomorrow."
        yield RuleViolation(path, message, "Write `…#<40 digits>`.")


def _check_secrets(secrets: list[Secret], path: Path) -> Iterator[RuleViolation]:
    seen: set[str] = set()
    for index, secret in enumerate(secrets):
        where = (*path, index)
        if secret.env is not None and secret.file is not None:
            message = f"The secret {quoted(secret.id)} has both `env` and `file`."
            yield RuleViolation(where, message, "Give one of them, or none for a secret that the caller gives.")
        if secret.env is not None and not _VARIABLE.fullmatch(secret.env):
            # The text is not repeated: this is where a value is pasted by mistake.
            message = "This is not the name of an environment variable."
            yield RuleViolation((*where, "env"), message, "Write the variable's name, never its value.")
        if secret.file is not None and not secret.file.strip():
            yield RuleViolation(
                (*where, "file"), "The file's path is empty.", "Write the path of the file with the value."
            )
        if secret.id in seen:
            yield RuleViolation(
                (*where, "id"), f"The secret {quoted(secret.id)} is given twice.", "Keep one of them."
            )
        seen.add(secret.id)


def _check_agents(agents: list[Ssh], path: Path) -> Iterator[RuleViolation]:
    seen: set[str] = set()
    for index, agent in enumerate(agents):
        if agent.socket is not None and not agent.socket.strip():
            message = "The socket's path is empty."
            yield RuleViolation((*path, index, "socket"), message, "Write it, or remove the key for SSH_AUTH_SOCK.")
        if agent.id in seen:
            yield RuleViolation(
                (*path, index), f"The SSH agent {quoted(agent.id)} is given twice.", "Keep one of them."
            )
        seen.add(agent.id)


def _check_cycles(project: Project) -> Iterator[RuleViolation]:
    """Circles of `needs`, and of `requires`. An image may need one that requires it: tests that are built on what
    they test."""
    images = project.images
    if (cycle := _cycle({name: image.needed for name, image in images.items()})) is not None:
        message = f"The images need each other in a circle: {quoted(' -> '.join(cycle))}."
        yield RuleViolation(_need(images[cycle[0]], cycle), message, "Remove one of these `needs`.")
    if (cycle := _cycle({name: image.requires for name, image in images.items()})) is not None:
        index = images[cycle[0]].requires.index(cycle[1])
        message = f"The images require each other in a circle: {quoted(' -> '.join(cycle))}."
        yield RuleViolation(("images", cycle[0], "requires", index), message, "Remove one of these `requires`.")


def _need(image: Image, cycle: Sequence[str]) -> Path:
    """Where the first image of a circle needs the second one."""
    keys: list[Path] = [("needs", argument) for argument, needed in image.needs.items() if needed == cycle[1]]
    keys += [("contexts", name, "needs") for name, named in image.contexts.items() if named.needs == cycle[1]]
    return ("images", cycle[0], *keys[0])


def _cycle(edges: Mapping[str, Sequence[str]]) -> list[str] | None:
    """The first circle, its first name repeated at the end; names that are not there are told elsewhere. No
    recursion: chains can be long."""
    done: set[str] = set()
    for start in edges:
        trail: dict[str, Iterator[str]] = {}
        node: str | None = start if start not in done else None
        while node is not None:
            pending = trail.setdefault(node, iter(edges.get(node, ())))
            following = next((name for name in pending if name not in done), None)
            if following is None:
                done.add(node)
                del trail[node]
                node = next(reversed(trail), None)
            elif following in trail:
                names = list(trail)
                return [*names[names.index(following) :], following]
            else:
                node = following
    return None


_SOURCES = ("chart", "manifests", "kustomize", "templates")


def _check_deploy(deploy: Deploy) -> Iterator[RuleViolation]:
    given = [key for key in _SOURCES if getattr(deploy, key)]
    if len(given) != 1:
        found = " and ".join(f"`{key}`" for key in given) or "nothing to deploy"
        remedy = "Give exactly one of `chart`, `manifests`, `kustomize` and `templates`."
        yield RuleViolation(("deploy",), f"The release has {found}.", remedy)
        return
    if deploy.values and not deploy.chart:
        yield RuleViolation(("deploy", "values"), "Values are for a chart.", "Leave them out, or write a chart.")
    if deploy.kustomize:
        yield from _check_inside(("deploy", "kustomize"), deploy.kustomize)
    for key, files in (("manifests", deploy.manifests), ("templates", deploy.templates)):
        for index, file in enumerate(files):
            yield from _check_inside(("deploy", key, index), file)
    if deploy.chart and not re.fullmatch(r"(oci|https)://\S+", deploy.chart):
        if "://" in deploy.chart:
            message = f"The chart {quoted(deploy.chart)} is no directory of the commit, `oci://…` or `https://…`."
            yield RuleViolation(("deploy", "chart"), message, "Put the chart in the repository or in a registry.")
        else:
            yield from _check_inside(("deploy", "chart"), deploy.chart)
    for index, file in enumerate(deploy.values):
        yield from _check_inside(("deploy", "values", index), file)
    if not _DURATION.fullmatch(deploy.timeout):
        message = f"{quoted(deploy.timeout)} is not a duration."
        yield RuleViolation(("deploy", "timeout"), message, "Write it with a unit, such as `10m` or `1h30m`.")
    yield from _check_name("release", deploy.release, _RELEASE, RELEASE_LENGTH)
    yield from _check_name("namespace", deploy.namespace, _LABEL, NAMESPACE_LENGTH)


def _check_name(key: str, name: str, allowed: re.Pattern[str], limit: int) -> Iterator[RuleViolation]:
    if not name or UNKNOWN_ENV in name:
        return
    if len(name) > limit or not allowed.fullmatch(name):
        remedy = f"Use at most {limit} lower-case letters, digits and `-`, with a letter or digit at the ends."
        yield RuleViolation(("deploy", key), f"{quoted(name)} is not a {key}'s name for Kubernetes.", remedy)


def _check_inside(path: Path, text: str) -> Iterator[RuleViolation]:
    if not text.strip() or not text.isprintable():
        yield RuleViolation(path, f"{quoted(text)} is not a path.", "Write a path relative to the repository's root.")
    elif text.startswith(("/", "~")):
        message = f"{quoted(text)} is outside the repository."
        yield RuleViolation(
            path, message, "Write a path relative to the repository's root; only committed files count."
        )
    elif normal(text).split("/")[0] == "..":
        message = f"{quoted(text)} leaves the repository."
        yield RuleViolation(path, message, "Write a path inside the repository; only committed files count.")
