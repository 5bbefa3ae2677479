"""How the `RUN`s of an image run beside their commands: names of hosts, shared memory, limits, a control group."""

import re
from typing import Annotated

from msgspec import Meta, Struct

from lineal.regex import regex

ULIMITS = (
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime", "sigpending", "stack",
)  # fmt: skip
EPOCH = "source_date_epoch"
LATEST = (1 << 33) - 1
"""The latest time of a file that every tar can say, in seconds since 1970: in the year 2242."""
GATEWAY = "host-gateway"
"""The address of the machine of the engine, as Docker knows it."""
_SIZE = regex(r"(\d+(?:\.\d*)?|\.\d+) ?(?:([kmgtp])i?)?b?", re.ASCII | re.IGNORECASE)

Count = Annotated[int, Meta(ge=-1, le=(1 << 63) - 1, extra={"rule": "Write a whole number, -1 for no limit."})]

Moment = Annotated[int, Meta(ge=0, le=LATEST, extra={"rule": f"Write seconds since 1970, at most {LATEST}."})]


class Ulimit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit of the kernel (setrlimit(2)); -1 is none."""

    soft: Annotated[Count, Meta(description="What counts until the process asks for more.")]
    hard: Annotated[Count, Meta(description="What it can have at most.")]


def soft_and_hard(limit: int | Ulimit) -> tuple[int, int]:
    """A number alone is both."""
    return (limit.soft, limit.hard) if isinstance(limit, Ulimit) else (limit, limit)


def bytes_of(size: str) -> int:
    """`64m`, `1.5GiB`: units of 1024, as for `docker run`. Raises `ValueError`."""
    match = _SIZE.fullmatch(size)
    if match is None:
        raise ValueError(f"{size} is not a size such as 64m")
    return int(float(match[1]) * 1024 ** ("kmgtp".index(match[2].lower()) + 1 if match[2] else 0))
