"""Run the documentation: each python block of the README and of docs/, with top-level await, away from the checkout."""

import ast
import asyncio
import contextvars
import inspect
import itertools
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, SkipParser

#: Where a document's namespace keeps what its blocks run in.
PAGE = "__page__"

numbers = itertools.count(1)


class Page:
    """What the blocks of one document share: a module, an event loop, a context and an empty working directory."""

    def __init__(self) -> None:
        self.module = ModuleType(f"page_{next(numbers)}")
        # annotations are looked up in the module that a class names, so it must be one that can be found
        sys.modules[self.module.__name__] = self.module
        self.runner = asyncio.Runner()
        self.context = contextvars.copy_context()
        self.before = Path.cwd()
        self.folder = tempfile.TemporaryDirectory(prefix="page-")
        os.chdir(self.folder.name)

    def run(self, code: CodeType) -> None:
        """Run a block; one that awaits runs as a task on the document's loop."""
        result = self.context.run(eval, code, vars(self.module))
        if inspect.iscoroutine(result):
            self.runner.run(result, context=self.context)

    def close(self) -> None:
        """End the loop and leave no trace."""
        try:
            self.runner.close()
        finally:
            os.chdir(self.before)
            self.folder.cleanup()
            del sys.modules[self.module.__name__]


class AsyncPython(CodeBlockParser):
    """Runs ``python`` blocks of a document one after the other, in one namespace."""

    language = "python"

    def evaluate(self, example: Example) -> None:
        """Compile with the lines of the document, so that a traceback points into it, and run."""
        source = "\n" * (example.line + example.parsed.line_offset) + example.parsed
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        example.namespace[PAGE].run(compile(source, example.path, "exec", flags, dont_inherit=True))


def open_page(namespace: dict[str, Any]) -> None:
    """Before a document's first block."""
    namespace[PAGE] = Page()


def close_page(namespace: Mapping[str, Any]) -> None:
    """After a document's last block."""
    namespace[PAGE].close()


pytest_collect_file = Sybil(
    parsers=[AsyncPython(), SkipParser()],
    patterns=["README.md", "docs/*.md", "docs/**/*.md"],
    setup=open_page,
    teardown=close_page,
).pytest()
