"""The changes of a deploy: for each object a diff between the deployed manifest and the new one."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from lineal.config.secrets import Mask
from lineal.deploy.diff.layout import lines_of
from lineal.deploy.diff.masking import mask_all
from lineal.deploy.helm.manifests import ReleaseManifests, equal
from lineal.deploy.helm.objects import UNREADABLE
from lineal.kube.json_fields import at, mapping, text
from lineal.report.model import Action, ChangeReport

_HIDDEN = ("data", "stringData")
_SHOWN = ("apiVersion", "kind", "metadata", "type", "immutable")
_LONGEST = 400
"""Lines shown of one object's diff."""
_SHORTEST = 8
"""Characters of a Secret's value that is masked elsewhere too. Shorter ones, such as a user's name, are ordinary
words."""
_Key = tuple[str, str, str, str, int]
"""Kind, namespace, name, group, and which one of several that have these."""
_Objects = dict[_Key, dict[str, Any]]


def between(
    before: ReleaseManifests | None, after: ReleaseManifests, mask: Callable[[str], str]
) -> list[ChangeReport]:
    """The changes from `before` to `after` in the order of kind and name, hooks last.

    They hold no value of a Secret, not even as a hash. `mask` hides other secrets."""
    values = Mask(_long_values(before) + _long_values(after))
    old = (_by_key(before.objects), _by_key(before.hook_objects)) if before is not None else ({}, {})
    new = (_by_key(after.objects), _by_key(after.hook_objects))
    found: list[ChangeReport] = []
    for had, has, hook in ((old[0], new[0], False), (old[1], new[1], True)):
        keys = sorted(had.keys() | has.keys())
        made = (_change(key, had.get(key), has.get(key), lambda line: values.mask(mask(line)), hook) for key in keys)
        found += [change for change in made if change is not None]
    return found


def _long_values(manifests: ReleaseManifests | None) -> list[str]:
    """The lines of its Secrets' values that are long enough to be masked wherever else they stand."""
    lines = (line.strip() for value in (manifests.secrets if manifests else []) for line in value.splitlines())
    return [line for line in lines if len(line) >= _SHORTEST]


def _by_key(objects: Iterable[dict[str, Any]]) -> _Objects:
    """The objects by key. Several may have the same one, e.g. Jobs without a name yet: they are numbered."""
    found: _Objects = {}
    seen: Counter[_Key] = Counter()
    for one in objects:
        key = _key(one)
        found[(*key[:-1], seen[key])] = one
        seen[key] += 1
    return found


def _key(one: dict[str, Any]) -> _Key:
    """The key of an object. It leaves out the version of the API group: another version is the same object."""
    group, slash, _version = text(one, "apiVersion").partition("/")
    named = text(one, "kind"), text(one, "metadata", "namespace"), text(one, "metadata", "name")
    return (*named, group if slash else "", 0)


def _change(
    key: _Key, old: dict[str, Any] | None, new: dict[str, Any] | None, mask: Callable[[str], str], hook: bool
) -> ChangeReport | None:
    if equal(old, new):
        return None
    action: Action = "create" if old is None else "delete" if new is None else "change"
    shown_old, shown_new = _shown(old, new, mask, False), _shown(new, old, mask, True)
    if key[0] == UNREADABLE:
        # The text may hold a Secret.
        shown_old, shown_new = [], ["These manifests have YAML that cannot be shown."]
    lines = list(difflib.unified_diff(shown_old, shown_new, "before", "after", n=2, lineterm=""))[2:]
    if len(lines) > _LONGEST:
        lines = [*lines[:_LONGEST], f"… {len(lines) - _LONGEST} more lines"]
    kind, namespace, name, _group, _number = key
    return ChangeReport(kind=kind, name=name, namespace=namespace, action=action, hook=hook, diff=lines)


def _shown(
    one: dict[str, Any] | None, other: dict[str, Any] | None, mask: Callable[[str], str], new: bool
) -> list[str]:
    """The lines of the object as YAML, with words for the values of a Secret. Texts are masked before they become
    YAML, which quotes and folds them."""
    if one is None:
        return []
    shown = _without_values(one, other, new) if text(one, "kind") == "Secret" else one
    return [mask(line) for line in lines_of(mask_all(shown, mask))]


def _without_values(one: dict[str, Any], other: dict[str, Any] | None, new: bool) -> dict[str, Any]:
    """A Secret with its keys and names only. Its annotations go too: that of kubectl repeats the values."""
    word = "(changed)" if new else "(hidden)"
    # An unknown field may be a misspelled `data`.
    shown: dict[str, Any] = {
        key: value if key in _SHOWN else "(hidden)" for key, value in one.items() if key not in _HIDDEN
    }
    about = mapping(one, "metadata")
    shown["metadata"] = {key: value for key, value in about.items() if key != "annotations"}
    if "annotations" in about:
        same = equal(about["annotations"], at(other, "metadata", "annotations"))
        shown["metadata"]["annotations"] = "(hidden)" if same or other is None else word
    for field in _HIDDEN:
        values = mapping(one, field)
        if values:
            theirs = mapping(other, field)
            shown[field] = {
                str(key): word if key in theirs and not equal(theirs[key], value) else "(hidden)"
                for key, value in values.items()
            }
    return shown
