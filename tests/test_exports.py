"""What a public module offers: its `__all__` is exactly what it defines for others, lazy names included."""

import ast
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

Plant = Callable[[Mapping[str, str]], Path]
ExpectNone = Callable[[Iterable[str]], None]

OURS = ("buvar", "buvar_aiohttp", "binp")
#: Names that only annotations use.
TYPE_PARAMETERS = ("TypeVar", "ParamSpec", "TypeVarTuple")


def public_modules(root: Path) -> Iterator[tuple[str, Path]]:
    """Dotted name and file of every module that others may import."""
    for package in OURS:
        for path in sorted((root / "src" / package).rglob("*.py")):
            parts = list(path.relative_to(root / "src").with_suffix("").parts)
            if parts[-1] == "__init__":
                parts.pop()
            if not any(part.startswith("_") for part in parts):
                yield ".".join(parts), path


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Top-level statements, those under `if` and `try` included."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody") if isinstance(node, ast.If | ast.Try) else ():
            yield from statements(getattr(node, part, []))
        for handler in getattr(node, "handlers", []):
            yield from statements(handler.body)


def assigned(node: ast.stmt) -> Iterator[tuple[str, ast.expr | None]]:
    """Names bound by an assignment, with the value."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    for target in targets:
        for name in ast.walk(target) if target else ():
            if isinstance(name, ast.Name):
                yield name.id, getattr(node, "value", None)


class Offer:
    """What one module's text defines, imports from its siblings, serves lazily and promises."""

    def __init__(self, tree: ast.Module) -> None:
        self.defined: set[str] = set()
        self.reexported: set[str] = set()
        self.promised: list[str] | None = None
        self.values: dict[str, ast.expr | None] = {}
        self.lookup: ast.FunctionDef | None = None
        for node in statements(tree.body):
            self.read(node)

    def read(self, node: ast.stmt) -> None:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            self.defined.add(node.name)
            if node.name == "__getattr__":
                self.lookup = node
        elif isinstance(node, ast.ImportFrom):
            if node.level or (node.module or "").split(".")[0] in OURS:
                self.reexported |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for name, value in assigned(node):
                self.values[name] = value
                if name == "__all__":
                    self.promised = list(ast.literal_eval(value))
                elif not is_type_parameter(value):
                    self.defined.add(name)

    @property
    def lazy(self) -> set[str]:
        """Names that a module-level `__getattr__` answers to: it compares with them, or looks them up in a table."""
        found: set[str] = set()
        for node in ast.walk(self.lookup) if self.lookup else ():
            if isinstance(node, ast.Compare):
                found |= texts(node)
            elif isinstance(node, ast.Name) and isinstance(table := self.values.get(node.id), ast.Dict):
                found |= {text for key in table.keys if key for text in texts(key)}
        return found


def is_type_parameter(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and getattr(value.func, "id", "") in TYPE_PARAMETERS


def texts(node: ast.AST) -> set[str]:
    return {part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def public(names: set[str]) -> set[str]:
    return {name for name in names if not name.startswith("_")}


def offences(root: Path) -> Iterator[str]:
    for name, path in public_modules(root):
        offer = Offer(ast.parse(path.read_text()))
        if offer.promised is None:
            if public(offer.defined | offer.reexported | offer.lazy):
                yield f"{name}: no __all__"
            continue
        promised = set(offer.promised)
        if len(promised) < len(offer.promised):
            yield f"{name}: a name stands twice in __all__"
        for missing in sorted(public(offer.defined | offer.lazy) - promised):
            yield f"{name}: {missing} is for others but not in __all__, or lacks its underscore"
        for foreign in sorted(promised - offer.defined - offer.lazy - offer.reexported):
            yield f"{name}: {foreign} is in __all__ but neither defined nor re-exported from our own modules"


def test_all_is_what_a_module_defines_for_others(checkout: Path, expect_none: ExpectNone) -> None:
    """Every public module's `__all__` is exactly what it defines, re-exports and lazily serves."""
    expect_none(offences(checkout))


def test_what_is_promised_is_there(checkout: Path, expect_none: ExpectNone) -> None:
    """Every name of every `__all__` can be had, and an unknown name is an AttributeError."""
    absent = []
    for name, _ in public_modules(checkout):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            # a driver that belongs to an extra may be missing; a module of ours may not
            if not error.name or error.name.split(".")[0] in OURS:
                raise
            continue
        absent += [f"{name}.{text}" for text in getattr(module, "__all__", ()) if not hasattr(module, text)]
        assert not hasattr(module, "no_such_name"), name

    expect_none(absent)


HEAD = '"""Purpose."""\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(): ...\n", "no __all__"),
        ("from binp._hidden import f\n", "no __all__"),
        ("__all__ = []\ndef f(): ...\n", "f is for others but not in __all__, or lacks its underscore"),
        ("__all__ = []\nasync def f(): ...\n", "f is for others but not in __all__, or lacks its underscore"),
        ("__all__ = []\nclass F: ...\n", "F is for others but not in __all__, or lacks its underscore"),
        ("__all__ = []\nX: int = 1\n", "X is for others but not in __all__, or lacks its underscore"),
        (
            "__all__ = []\nif True:\n    X = 1\nelse:\n    X = 2\n",
            "X is for others but not in __all__, or lacks its underscore",
        ),
        (
            '__all__ = []\n_T = {"f": "binp.f"}\ndef __getattr__(name): return _T[name]\n',
            "f is for others but not in __all__, or lacks its underscore",
        ),
        (
            '__all__ = []\ndef __getattr__(name):\n    if name in ("f",): ...\n',
            "f is for others but not in __all__, or lacks its underscore",
        ),
        ('__all__ = ["f", "f"]\ndef f(): ...\n', "a name stands twice in __all__"),
        ('__all__ = ["f"]\n', "f is in __all__ but neither defined nor re-exported from our own modules"),
        (
            'from json import loads\n__all__ = ["loads"]\n',
            "loads is in __all__ but neither defined nor re-exported from our own modules",
        ),
    ],
)
def test_a_wrong_promise_is_found(plant: Plant, text: str, message: str) -> None:
    """A module that offers more or less than its `__all__` says is an offence."""
    assert [f"binp.new: {message}"] == list(offences(plant({"src/binp/new.py": HEAD + text})))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "import json\nfrom json import loads\n",
        "from typing import TypeVar\n__all__ = []\nT = TypeVar('T')\n_private = 1\n",
        '__all__ = ["f", "g"]\nfrom ._hidden import f\nfrom binp.other import h as g\n',
        '__all__ = ["f"]\n_T = {"f": "binp.f"}\ndef __getattr__(name): return _T[name]\n',
        '__all__ = ["f"]\ndef __getattr__(name):\n    if name == "f": ...\n',
        '__all__ = ["__version__"]\n__version__ = "1"\n',
    ],
)
def test_a_true_promise_is_fine(plant: Plant, text: str) -> None:
    """Empty modules, private names, type parameters, re-exports and lazy names are no offence."""
    assert [] == list(offences(plant({"src/binp/new.py": HEAD + text, "src/binp/_hidden.py": "x = 1\n"})))
