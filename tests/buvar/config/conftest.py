"""What the tests of the configuration share."""

import pytest


@pytest.fixture(autouse=True)
def free_sections(reset_config_sections):
    """Every test may take any section."""
    return reset_config_sections


@pytest.fixture
def refused():
    """Call it with what loads; it must fail, and the answer is the text of the error."""
    from buvar import config

    def call(load, *args):
        with pytest.raises(config.ConfigLoadError) as caught:
            load(*args)
        return str(caught.value)

    return call
