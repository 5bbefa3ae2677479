"""The files that an engine puts over the image's own in every container, and that a build must not meet.

An engine mounts a file of its own at /etc/hostname, and makes /etc/hostname, /etc/mtab and /.dockerenv in a layer of
its own (moby, `daemon/initlayer`), which hides the image's. BuildKit does neither: there a `RUN` sees, writes, moves
and removes what the image has. /etc/hosts and /etc/resolv.conf are mounted by both; what is written there is gone.
"""

from __future__ import annotations

from lineal.engine.docker.client import Client, Refused
from lineal.tar import raw
from lineal.tar.header import DIRECTORY, END, FILE, HARDLINK

HOSTNAME = "/etc/hostname"
NOWHERE = "/dev/null/lineal"
"""A path that no machine can have. An engine that is to mount it at /etc/hostname mounts nothing there; one that
checks its mounts more closely refuses the container."""
INIT = "/init"
"""Where a helper container shows the engine's own layer."""
_MARK = b".dockerenv"
_MOUNTED = (b"etc/hosts", b"etc/resolv.conf")
"""What the engine mounts something over: without these it would make them in the command's own layer."""


def uncover(client: Client, helper: str, etc: tuple[int, int, int]) -> bool:
    """Take these files out of the engine's own layer of a container that has not started; whether that worked.
    `etc` is mode, uid and gid of the image's /etc.

    An engine unpacks tars and has no call to remove a file. A file in place of a directory removes the directory, and
    an entry that cannot be made (a hard link to a directory) has first removed what was at its path; so that one is
    the last."""
    mode, uid, gid = etc
    tar = raw.header(b"etc", FILE) + raw.header(b"etc", DIRECTORY, mode=mode, uid=uid, gid=gid)
    tar += b"".join(raw.header(name, FILE, mode=0o755) for name in _MOUNTED)
    tar += raw.header(_MARK, HARDLINK, link=b"etc") + END
    # Not `put`: here a file takes a directory's place.
    where = f"/containers/{helper}/archive"
    try:
        client.call("PUT", where, "uncover the image's own files", params={"path": INIT}, data=[tar])
    except Refused as refused:
        return _MARK.decode() in refused.reason
    return False
