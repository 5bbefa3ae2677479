"""Names of users and groups as BuildKit (`--chown`) and runc (`USER`) look them up in an image's account files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from lineal.context.tree import chown_number, cut_id


def owner(spec: str, passwd: bytes, group: bytes) -> tuple[int, int]:
    """BuildKit: a number alone is uid and gid, a name alone brings its account's gid, unknown names are 0.

    An empty group behind a colon, or an unknown one, is what there would be without it."""
    name, _, group_name = spec.partition(":")
    uid = gid = 0
    for part, data, file in ((name, passwd, "/etc/passwd"), (group_name, group, "/etc/group")):
        if part and chown_number(part) is None and not data:
            raise LookupError(f"{part!r} cannot be looked up: the image has no {file}; use a number.")
    if (number := chown_number(name)) is not None:
        uid = gid = number
    elif name:
        uid, gid = next(((uid, gid) for known, uid, gid in _accounts(passwd) if known == name), (0, 0))
    if (number := chown_number(group_name)) is not None:
        gid = number
    elif group_name:
        gid = next((found for known, found, _ in _groups(group) if known == group_name), gid)
    return uid, gid


def runtime(spec: str, passwd: bytes, group: bytes) -> tuple[int, int]:
    """runc: an account is found by name or number and brings its gid; only numbers may be unknown."""
    name, _, group_name = spec.partition(":")
    uid = gid = 0
    if name:
        number = number_of(name)
        found = next(((uid, gid) for known, uid, gid in _accounts(passwd) if known == name or uid == number), None)
        if found is None and number is None:
            raise LookupError(f"The image has no user {name!r} in /etc/passwd.")
        uid, gid = found or (number or 0, 0)
    else:
        gid = next((gid for _, uid, gid in _accounts(passwd) if uid == 0), 0)
    if group_name:
        number = number_of(group_name)
        known = next((gid for known, gid, _ in _groups(group) if known == group_name or gid == number), number)
        if known is None:
            raise LookupError(f"The image has no group {group_name!r} in /etc/group.")
        gid = known
    return uid, gid


def number_of(text: str) -> int | None:
    """runc takes numbers up to 2^31-1 only, "for 32-bit systems" (moby/sys/user); more is a name."""
    return int(text) if text.isascii() and text.isdigit() and int(text) < 1 << 31 else None


def _accounts(passwd: bytes) -> Iterator[tuple[str, int, int]]:
    for fields in _lines(passwd):
        if len(fields) >= 4:
            yield fields[0], _written(fields[2]), _written(fields[3])


def _groups(group: bytes) -> Iterator[tuple[str, int, str]]:
    for fields in _lines(group):
        if len(fields) >= 3:
            yield fields[0], _written(fields[2]), fields[-1]


def _written(text: str) -> int:
    """A number in an account file: any that 64 bits hold, and 0 for what is none (moby/sys/user, BuildKit)."""
    if not re.fullmatch(r"[+-]?0*[0-9]{1,19}", text, re.ASCII):
        return 0
    number = int(text)
    return cut_id(number) if -(1 << 63) <= number < 1 << 63 else 0


def _lines(data: bytes) -> Iterator[list[str]]:
    for line in os.fsdecode(data).splitlines():
        text = line.strip()
        if text and not text.startswith("#"):
            yield text.split(":")
