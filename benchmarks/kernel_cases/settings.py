"""Settings of two sections, from a dictionary and three variables, into a class."""

from __future__ import annotations

import os
from collections.abc import Callable

TREE = {
    "app": {
        "host": "0.0.0.0",
        "debug": True,
        "workers": 4,
        "timeout": 2.5,
        "tags": ["a", "b"],
        "db": {"url": "postgresql://localhost/db", "pool_size": 5, "echo": False},
    }
}
EXPECTED = ("0.0.0.0", 8080, False, 4, 2.5, ["a", "b"], "postgresql://localhost/db", 9, False)


def ours() -> Callable[[], object]:
    import dataclasses

    from buvar.config import ConfigSource

    @dataclasses.dataclass(frozen=True)
    class Db:
        url: str
        pool_size: int = 1
        echo: bool = False

    @dataclasses.dataclass(frozen=True)
    class App:
        db: Db
        host: str = "127.0.0.1"
        port: int = 80
        debug: bool = False
        workers: int = 1
        timeout: float = 1.0
        tags: list[str] = dataclasses.field(default_factory=list)

    # what the decorator read as text is found here
    Db.__module__ = App.__module__ = __name__
    globals().update(Db=Db)
    os.environ.update(MY_APP_PORT="8080", MY_APP_DEBUG="false", MY_APP_DB_POOL_SIZE="9")

    def load() -> App:
        return ConfigSource(TREE, env_prefix="MY").load(App, "app")

    _check(load())
    return load


def pydantic_settings() -> Callable[[], object]:
    from pydantic import BaseModel
    from pydantic_settings import BaseSettings, SettingsConfigDict

    class Db(BaseModel):
        url: str
        pool_size: int = 1
        echo: bool = False

    class App(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="MY_APP_", env_nested_delimiter="__", frozen=True)
        db: Db
        host: str = "127.0.0.1"
        port: int = 80
        debug: bool = False
        workers: int = 1
        timeout: float = 1.0
        tags: list[str] = []

        @classmethod
        def settings_customise_sources(
            cls, settings_cls, init_settings, env_settings, dotenv_settings, file_secret_settings
        ):  # type: ignore[no-untyped-def]  # the library's own hook
            # the environment wins over what is handed in, as with us
            return env_settings, init_settings

    globals().update(Db=Db)
    App.model_rebuild(_types_namespace={"Db": Db})
    os.environ.update(MY_APP_PORT="8080", MY_APP_DEBUG="false", MY_APP_DB__POOL_SIZE="9")

    def load() -> App:
        return App(**TREE["app"])  # type: ignore[arg-type]  # checked at run time, which is the point

    _check(load())
    return load


def _check(app: object) -> None:
    db = app.db  # type: ignore[attr-defined]  # of one of two classes
    names = ("host", "port", "debug", "workers", "timeout", "tags")
    assert (*[getattr(app, name) for name in names], db.url, db.pool_size, db.echo) == EXPECTED
