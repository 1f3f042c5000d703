"""The settings: what is refused before anything is served."""

from __future__ import annotations

import pytest

from binp.settings import InvalidSetting, KeepSettings, RetentionSettings, Settings, is_loopback, unread_variables
from buvar.config import ConfigLoadError, ConfigSource

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


@pytest.mark.parametrize(
    ("given", "variables", "is_dev"),
    [
        ({}, {}, False),
        ({}, {"DEV": "true"}, True),
        ({}, {"DEV": " ON "}, True),
        ({}, {"DEV": "false"}, False),
        ({}, {"DEV": "production"}, False),
        ({}, {"DEV": "true", "BINP_DEV": "false"}, False),
        ({"dev": False}, {"DEV": "true"}, False),
        ({"dev": True}, {}, True),
    ],
)
def test_the_switch_of_the_original(given, variables, is_dev, monkeypatch):
    """ENV-02: DEV is read where nothing of ours says it; what is no yes leaves it off."""
    for name in ("DEV", "BINP_DEV"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert Settings.load(ConfigSource({"binp": given})).dev is is_dev


def test_retention_is_read_like_everything_else():
    """Limits come from the file and the environment, with rules for operations and labels of any name."""
    source = ConfigSource(
        {
            "binp": {
                "retention": {
                    "days": 7,
                    "operations": {"house.poll [x]": {"runs": 100}},
                    "labels": {"audit": {"days": 3650, "failed_days": 0.5}},
                }
            }
        },
        environ={"BINP_RETENTION_SIZE": "500 MB", "BINP_RETENTION_FAILED_DAYS": "30"},
    )

    found = Settings.load(source).retention

    assert (found.days, found.failed_days, found.runs, found.bytes) == (7, 30, 1_000_000, 500_000_000)
    assert found.operations == {"house.poll [x]": KeepSettings(runs=100)}
    assert found.labels == {"audit": KeepSettings(days=3650, failed_days=0.5)}


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("10B", 10),
        ("1.5 kB", 1500),
        ("2 KiB", 2048),
        ("2M", 2_000_000),
        ("3mib", 3 * 1024**2),
        (" 2 GiB ", 2 * 1024**3),
        ("1TB", 10**12),
    ],
)
def test_sizes_are_read_as_people_write_them(text, size):
    """Units of a thousand and of 1024, with and without the B, in any case."""
    assert RetentionSettings(size=text).bytes == size


@pytest.mark.parametrize("text", ["", "big", "-1", "2 GX", "1 2", "GB", "2 i", "1e9"])
def test_a_size_that_is_none_is_refused(text):
    """The refusal names the setting, and shows one that is right."""
    with pytest.raises(InvalidSetting) as caught:
        Settings(retention=RetentionSettings(size=text)).check()
    assert caught.value.what == f"size is {text!r}"
    assert caught.value.where == "[binp.retention] size or BINP_RETENTION_SIZE"
    assert caught.value.fix == "write it like '500 MB' or '2 GiB', or '0' for any size"


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"days": -1.0}, "[binp.retention] days"),
        ({"runs": -1}, "[binp.retention] runs"),
        ({"failed_days": float("nan")}, "[binp.retention] failed_days"),
        ({"operations": {"poll": KeepSettings(days=-0.5)}}, "[binp.retention.operations.poll] days"),
        ({"labels": {"a": KeepSettings(runs=-5)}}, "[binp.retention.labels.a] runs"),
    ],
)
def test_limits_below_zero_are_refused(given, where):
    """A limit is a number, and not below 0; the refusal names the rule."""
    with pytest.raises(InvalidSetting) as caught:
        Settings(retention=RetentionSettings(**given)).check()
    assert caught.value.where == where


def test_a_misspelt_limit_is_refused():
    """A name that is none, in the section or in a rule, is an error with the right one."""
    source = ConfigSource({"binp": {"retntion": {}, "retention": {"dayz": 1, "operations": {"poll": {"run": 1}}}}})

    with pytest.raises(ConfigLoadError) as caught:
        Settings.load(source)
    for near in ("retention", "days", "runs"):
        assert f"did you mean '{near}'?" in str(caught.value) or f"did you mean {near}" in str(caught.value)


def test_a_misspelt_variable_is_found():
    """A variable that begins like a setting and is none is named with the setting that is closest."""
    environ = {
        "BINP_PROT": "8001",
        "BINP_RETENTION_DAY": "3",
        "BINP_PORT": "8001",
        "BINP_GRACE_FILE": "/run/grace",
        "BINP_TOKEN": "t",
        "BINP_URL": "http://localhost",
        "BINP_BEGAN": "1763736909.1",
        "BINPORT": "1",
    }

    assert unread_variables(environ) == [
        "BINP_PROT is read by nothing, did you mean BINP_PORT?",
        "BINP_RETENTION_DAY is read by nothing, did you mean BINP_RETENTION_DAYS?",
    ]


def test_a_misspelt_variable_is_named_beside_a_wrong_one():
    """A setting that cannot be read does not hide that another one is misspelt."""
    assert unread_variables({"BINP_PORT": "eighty", "BINP_GRAZE": "1"}) == [
        "BINP_GRAZE is read by nothing, did you mean BINP_GRACE?"
    ]
