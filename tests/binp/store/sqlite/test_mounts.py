"""File systems by what is mounted where."""

from pathlib import Path

import pytest

from binp.store import open_store
from binp.store.contract import StoreError
from binp.store.sqlite import _mounts
from binp.store.sqlite._mounts import network_of

TABLE = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:40 / /srv rw,relatime shared:1 - nfs4 nas:/export rw,vers=4.2
31 30 254:1 / /srv/local rw - xfs /dev/vdb rw
32 22 0:41 / /mnt/a\\040b rw master:3 - cifs //nas/share rw
33 22 0:42 / /mnt/over rw - fuse.sshfs me@host: rw
34 22 254:2 / /mnt/over rw - ext4 /dev/vdc rw
nonsense
35 22 0:43 / /net rw,relatime propagate_from:2 shared:4 - autofs systemd-1 rw
"""


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Let other things be mounted."""

    def mount(text):
        place = tmp_path / "mountinfo"
        place.write_text(text)
        monkeypatch.setattr(_mounts, "_TABLE", place)

    mount(TABLE)
    return mount


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", None),
        ("/var/lib", None),
        ("/srv", "nfs4"),
        ("/srv/deep/er", "nfs4"),
        ("/srvx", None),
        ("/srv/local/x", None),
        ("/mnt/a b/c", "cifs"),
        ("/mnt/over", None),
        ("/net/me", None),
    ],
)
def test_the_nearest_mount_decides(table, path, kind):
    """What is mounted nearest above a path says where it is; of two at one place the later one."""
    assert network_of(Path(path)) == kind


def test_where_nobody_tells(tmp_path, monkeypatch):
    """Where the system does not tell what is mounted, nothing is known to be elsewhere."""
    monkeypatch.setattr(_mounts, "_TABLE", tmp_path / "no such file")
    assert network_of(Path("/srv")) is None


async def test_a_database_on_a_network_is_refused(table, path):
    """It is refused before anything is made there; the kind is named, and what to do instead."""
    table(f"22 1 0:40 / {path.parent} rw - nfs4 nas:/export rw\n")
    store = open_store(str(path))

    with pytest.raises(StoreError) as caught:
        await store.open()
    assert caught.value.what == "the database is on a network file system (nfs4), where SQLite may damage it"
    assert caught.value.where == str(path)
    assert caught.value.fix == "keep it on a local disk; `binp backup` can copy it to the network"
    assert [file.name for file in path.parent.iterdir()] == ["mountinfo"]
