"""The shape of the code: a purpose line everywhere, small files, small functions, reasons beside exceptions."""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

Plant = Callable[[Mapping[str, str]], Path]
ExpectNone = Callable[[Iterable[str]], None]

FILE_LINES = 400
FUNCTION_LINES = 60

#: Where every module opens with a purpose line.
SPOKEN = ("src", "scripts", "tests", "examples", "benchmarks")
#: Where files and functions stay small, and nothing is left for later.
MEASURED = ("src", "scripts", "examples", "benchmarks")

#: The only ways out, each with its reason. One that is no longer needed fails the test.
EXCEPTIONS: dict[str, str] = {
    "examples/poller.py": "a program as its author wants to write it; it runs exactly so",
    "examples/shop.py": "a program as its author wants to write it; it runs exactly so",
}

MARKER = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
#: A suppression: what it silences, and what must follow it.
SUPPRESSIONS = (
    (re.compile(r"#\s*type:\s*ignore"), re.compile(r"#\s*type:\s*ignore\[[\w, -]+\]\s+#\s*\S.{3,}")),
    (re.compile(r"#\s*noqa\b"), re.compile(r"#\s*noqa: [A-Z]+\d+(?:, ?[A-Z]+\d+)* - \S.{3,}")),
    (re.compile(r"#\s*pragma:\s*no"), re.compile(r"#\s*pragma: no (?:cover|branch) - \S.{3,}")),
    (re.compile(r"#\s*nosec\b"), re.compile(r"#\s*nosec B\d+ - \S.{3,}")),
    (re.compile(r"#\s*(?:ruff|mypy|pyright|flake8|fmt|isort):"), re.compile(r"(?!)")),  # a whole file: never
)


def modules(root: Path, folders: tuple[str, ...]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((root / folder).rglob("*.py"))
    if "tests" in folders:
        yield from sorted(root.glob("*.py"))


def code_lines(node: ast.AST, source: list[str]) -> int:
    """Lines of a function that hold code: its docstring, comments and empty lines are free."""
    free = set()
    if ast.get_docstring(node) is not None:
        free = set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    numbered = ((number, source[number - 1].strip()) for number in range(node.lineno, node.end_lineno + 1))
    return sum(1 for number, text in numbered if text and not text.startswith("#") and number not in free)


def purpose_offences(root: Path) -> Iterator[str]:
    for path in modules(root, SPOKEN):
        docstring = ast.get_docstring(ast.parse(path.read_text()))
        where = path.relative_to(root).as_posix()
        if not docstring:
            yield f"{where}: no purpose line"
        elif not docstring.splitlines()[0].endswith((".", "?", "!")):
            yield f"{where}: the purpose line is no sentence that ends on its line"


def size_offences(root: Path) -> Iterator[str]:
    for path in modules(root, MEASURED):
        where, text = path.relative_to(root).as_posix(), path.read_text()
        if (count := len(text.splitlines())) > FILE_LINES:
            yield f"{where}: {count} lines, limit {FILE_LINES}"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                if (count := code_lines(node, text.splitlines())) > FUNCTION_LINES:
                    yield f"{where}:{node.lineno}: {node.name} has {count} lines, limit {FUNCTION_LINES}"


def comment_offences(root: Path) -> Iterator[str]:
    for path in modules(root, MEASURED):
        where = path.relative_to(root).as_posix()
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
            if token.type not in (tokenize.COMMENT, tokenize.STRING):
                continue
            if found := MARKER.search(token.string):
                yield f"{where}:{token.start[0]}: {found[0]} is left in the code"
            if token.type == tokenize.COMMENT:
                for suppression, complete in SUPPRESSIONS:
                    if suppression.search(token.string) and not complete.search(token.string):
                        yield f"{where}:{token.start[0]}: suppression without its code and its reason: {token.string}"


def excused(offence: str) -> bool:
    return any(offence.startswith(f"{path}:") for path in EXCEPTIONS)


def test_every_module_says_what_it_is_for(checkout: Path, expect_none: ExpectNone) -> None:
    """Every module opens with one sentence that says what lives there, but for the exceptions with a reason."""
    expect_none(offence for offence in purpose_offences(checkout) if not excused(offence))


def test_files_and_functions_are_small(checkout: Path, expect_none: ExpectNone) -> None:
    """Files have at most 400 lines and functions at most 60 lines of code, but for the exceptions with a reason."""
    expect_none(offence for offence in size_offences(checkout) if not excused(offence))


def test_exceptions_are_needed(checkout: Path) -> None:
    """An exception whose reason is gone is taken off the list."""
    offences = [*purpose_offences(checkout), *size_offences(checkout)]

    assert [] == [path for path in EXCEPTIONS if not any(text.startswith(f"{path}:") for text in offences)]


def test_comments_leave_nothing_for_later(checkout: Path, expect_none: ExpectNone) -> None:
    """No marker is left in the code, and every suppression names what it silences and why."""
    expect_none(offence for offence in comment_offences(checkout) if not excused(offence))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "no purpose line"),
        ("", "no purpose line"),
        ('"""Things that\nwrap."""\n', "the purpose line is no sentence that ends on its line"),
    ],
)
@pytest.mark.parametrize("folder", SPOKEN)
def test_a_missing_purpose_is_found(plant: Plant, folder: str, text: str, message: str) -> None:
    """A module without a purpose line is an offence wherever it stands."""
    assert [f"{folder}/new.py: {message}"] == list(purpose_offences(plant({f"{folder}/new.py": text})))


def test_an_empty_module_with_a_purpose_is_fine(plant: Plant) -> None:
    """A module that holds nothing but its purpose line breaks no rule."""
    root = plant({"src/new.py": '"""Where it will live."""\n'})

    assert [] == [*purpose_offences(root), *size_offences(root), *comment_offences(root)]


def test_a_long_file_is_found(plant: Plant) -> None:
    """400 lines are fine and 401 are not."""
    root = plant({"src/fits.py": "x = 1\n" * 400, "src/long.py": "x = 1\n" * 401})

    assert ["src/long.py: 401 lines, limit 400"] == list(size_offences(root))


def test_a_long_function_is_found(plant: Plant) -> None:
    """60 lines of code are fine and 61 are not; docstring, comments and empty lines do not count."""
    head = 'async def f():\n    """One.\n\n    Two.\n    """\n\n    # why\n'
    root = plant({"src/fits.py": head + "    x = 1\n" * 59, "src/long.py": head + "    x = 1\n" * 60})

    assert ["src/long.py:1: f has 61 lines, limit 60"] == list(size_offences(root))


@pytest.mark.parametrize("word", ["TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK"])
def test_a_marker_is_found(plant: Plant, word: str) -> None:
    """A marker is an offence in a comment and in a docstring, and a longer word is none."""
    root = plant({"src/new.py": f'"""Purpose.\n\n{word}: more.\n"""\n# {word} later\n{word}S = 1  # {word}S\n'})

    assert [f"src/new.py:1: {word} is left in the code", f"src/new.py:5: {word} is left in the code"] == list(
        comment_offences(root)
    )


@pytest.mark.parametrize(
    "comment",
    [
        "# type: ignore",
        "# type: ignore[attr-defined]",
        "# type: ignore[attr-defined]  # why",
        "# noqa",
        "# noqa: S101",
        "# noqa: S101 -",
        "# pragma: no cover",
        "# pragma: no branch",
        "# nosec",
        "# nosec B101",
        "# ruff: noqa",
        "# mypy: ignore-errors",
        "# fmt: off",
    ],
)
def test_a_suppression_without_reason_is_found(plant: Plant, comment: str) -> None:
    """A suppression that does not say what it silences and why is an offence."""
    root = plant({"src/new.py": f"x = 1  {comment}\n"})

    assert [f"src/new.py:1: suppression without its code and its reason: {comment}"] == list(comment_offences(root))


@pytest.mark.parametrize(
    "comment",
    [
        "# type: ignore[attr-defined, misc]  # its shape was checked",
        "# noqa: S101, S311 - spreads restarts",
        "# pragma: no cover - only on Windows",
        "# nosec B101 - narrows a type",
    ],
)
def test_a_suppression_with_a_reason_is_fine(plant: Plant, comment: str) -> None:
    """What is silenced and why: that is all that is asked."""
    assert [] == list(comment_offences(plant({"src/new.py": f"x = 1  {comment}\n"})))
