"""The files that an engine puts over the image's own in every container, and that a build must not meet.

An engine mounts a file of its own at /etc/hostname, and makes /etc/hostname, /etc/mtab and /.dockerenv in a layer of
its own (moby, `daemon/initlayer`), which hides the image's. BuildKit does neither: there a `RUN` sees, writes, moves
and removes what the image has. /etc/hosts and /etc/resolv.conf are mounted by both; what is written there is gone.
"""

from __future__ import annotations

from collections.abc import Iterator

from lineal.engine.docker.client import Client, Refused
from lineal.tar import raw
from lineal.tar.header import DIRECTORY, END, FILE, HARDLINK, padding

HOSTNAME = "/etc/hostname"
NOWHERE = "/dev/null/lineal"
"""A path that no machine can have. An engine that is to mount it at /etc/hostname mounts nothing there; one that
checks its mounts more closely refuses the container."""
INIT = "/init"
"""Where a helper container shows the engine's own layer."""
_HIDING = (b"etc/hostname", b"etc/mtab")
_MARK = b".dockerenv"


def uncover(client: Client, helper: str) -> bool:
    """Take these files out of the engine's own layer of a container that has not started; whether that worked.

    An engine unpacks tars and has no call to remove a file. A file in place of a directory removes the directory, and
    an entry that cannot be made has first removed what was at its path; so that one is the last."""
    with client.reader(f"/containers/{helper}/archive", "read the engine's layer", {"path": f"{INIT}/."}) as stream:
        entries = [(entry, b"".join(body)) for entry, body in raw.read(stream) if entry.name.startswith(b"etc")]

    def tar() -> Iterator[bytes]:
        yield raw.header(b"etc", FILE)
        for entry, content in entries:
            if entry.name not in _HIDING and entry.kind in (FILE, DIRECTORY):
                yield entry.encode() + content + padding(len(content))
        yield raw.header(_MARK, HARDLINK, link=b"nowhere") + END

    try:
        # Not `put`: here a file takes a directory's place.
        where = f"/containers/{helper}/archive"
        client.call("PUT", where, "uncover the image's own files", params={"path": INIT}, data=tar(), endless=True)
    except Refused as refused:
        return _MARK.decode() in refused.reason
    return False
