"""What the tests of logging share."""

import io
import json

import pytest


class Output(io.StringIO):
    """A stream that answers its lines as objects."""

    tty = False

    def isatty(self):
        return self.tty

    def events(self):
        from buvar import log

        assert log.flush()
        return [json.loads(line) for line in self.getvalue().splitlines()]

    def event(self):
        (only,) = self.events()
        return only


@pytest.fixture
def output():
    """A stream for `LogConfig(stream=...)`."""
    return Output()


@pytest.fixture
def setup(output):
    """Call it with settings to put logging into force until the end of the test."""
    from buvar import log

    made = []

    def call(**settings):
        made.append(log.setup_logging(**{"stream": output, "tty": False, "capture_warnings": False, **settings}))
        return made[-1]

    yield call
    for each in made:
        each.restore()
