"""Detect network file systems."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["network_of"]

#: the mount table of Linux
_TABLE = Path("/proc/self/mountinfo")

#: file systems whose files are on other computers, or on several at once
_NETWORK = frozenset(
    {
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "fuse.ceph",
        "fuse.cephfs",
        "fuse.davfs2",
        "fuse.glusterfs",
        "fuse.gvfsd-fuse",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "smb3",
        "smbfs",
    }
)


def network_of(path: Path) -> str | None:
    """The kind of network file system that *path* is on; None for a local one, and if unknown."""
    try:
        text = _TABLE.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    found, longest = None, -1
    for line in text.splitlines():
        before, _, behind = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not behind:
            continue
        place = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4]))
        # of several mounts at one place, the last one is visible
        if path.is_relative_to(place) and len(place.parts) >= longest:
            found, longest = behind.split(" ")[0], len(place.parts)
    return found if found in _NETWORK else None
