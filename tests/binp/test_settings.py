"""The settings: what is refused before anything is served."""

from __future__ import annotations

import pytest

from binp.settings import InvalidSetting, Settings, is_loopback

OURS = ["localhost", "LOCALHOST", "ops.localhost", "127.0.0.1", "127.8.9.1", "::1", "[::1]", "0:0:0:0:0:0:0:1"]
OURS += ["::ffff:127.0.0.1", "[::ffff:7f00:1]"]
OTHERS = ["127.evil.example.org", "127.0.0.1.nip.io", "127.1", "localhost.example.org", "mylocalhost", "0.0.0.0", "::"]
OTHERS += ["", "[]", "[127.0.0.1", "::ffff:192.0.2.1", "192.0.2.1", "[::1].example.org"]


@pytest.mark.parametrize("host", OURS)
def test_addresses_of_this_machine_need_no_authentication(host):
    """Without authentication it may listen on what is never another machine, in every notation."""
    assert is_loopback(host)
    Settings(host=host, auth="none").check()


@pytest.mark.parametrize("host", OTHERS)
def test_other_addresses_need_authentication(host):
    """A name that only looks like an address of this machine is refused without authentication."""
    assert not is_loopback(host)
    with pytest.raises(InvalidSetting, match="can be reached from other machines"):
        Settings(host=host, auth="none").check()
