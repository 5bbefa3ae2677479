"""The user of a command: names are looked up in the image, as runc's own library and BuildKit do it."""

from __future__ import annotations

from dataclasses import dataclass

_LAST = (1 << 31) - 1


class Unknown(Exception):
    """The image has no such user or group; the text says which."""


@dataclass(frozen=True)
class Account:
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


def find(user: str, passwd: bytes, group: bytes) -> Account:
    """`user`, `user:group`; both may be numbers. Raises `Unknown`."""
    name, _, wanted = user.partition(":")
    users = [row for row in _rows(passwd) if len(row) > 3]
    groups = [row for row in _rows(group) if len(row) > 2]
    found = next((row for row in users if row[0] == name), None) if name else None
    number = _number(name) if name else 0
    if found is None and number is not None:
        found = next((row for row in users if _number(row[2]) == number), None)
    if found is None and number is None:
        raise Unknown(f"unable to find user {name}: no matching entries in passwd file")
    uid = _number(found[2]) if found else number
    gid = _number(found[3]) if found else 0
    if uid is None or gid is None:
        raise Unknown(f"unable to find user {name}: its entry in the passwd file is malformed")
    if wanted:
        row = next((row for row in groups if row[0] == wanted), None)
        chosen = _number(row[2]) if row else _number(wanted)
        if chosen is None:
            raise Unknown(f"unable to find group {wanted}: no matching entries in group file")
        return Account(uid, chosen, (chosen,))
    member = found[0] if found else None
    more = {_number(row[2]) for row in groups if member and len(row) > 3 and member in row[3].split(",")}
    return Account(uid, gid, (gid, *sorted(one for one in more if one is not None and one != gid)))


def _rows(text: bytes) -> list[list[str]]:
    lines = text.decode("utf-8", "surrogateescape").splitlines()
    return [line.strip().split(":") for line in lines if line.strip() and not line.startswith("#")]


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and int(text) <= _LAST else None
