"""The page that shows what can be called."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request

from binp.api import reference
from binp.api._outline import outline


class Order(BaseModel):
    item: str
    count: int = 1


def page(app: FastAPI, root: str = "") -> Any:
    return reference(app, Request({"type": "http", "headers": [], "root_path": root}))


def test_routes_with_all_that_is_known_of_them() -> None:
    """API-12: a route is shown with its parameters, its body, its answers, and how a terminal calls it."""

    app = FastAPI(title="Shop")

    @app.post("/orders/{shop}", tags=["orders"])
    async def place_order(shop: int, order: Order, fast: bool = False) -> list[Order]:
        """Order something."""
        return []

    text = page(app, "/prefix").body.decode()

    assert "<h2>orders</h2>" in text
    assert "<code>/prefix/orders/{shop}</code>" in text
    assert "Order something." in text
    assert "{item: string, count?: integer = 1}" in text
    assert "<code>boolean = false</code>" in text
    assert "path, required" in text
    assert 'href="/prefix/openapi.json"' in text


def test_it_needs_nothing_from_elsewhere() -> None:
    """API-12: no script, no picture, no address but its own; the policy allows nothing but its own style."""
    answer = page(FastAPI())
    text = answer.body.decode()

    assert "<script" not in text
    assert re.findall(r'(?:src|href)="([^"]+)"', text) == ["/openapi.json"]
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_what_is_said_of_a_route_is_text() -> None:
    """API-12: titles, descriptions and names are shown, never interpreted."""
    app = FastAPI(title="<b>&")

    @app.get("/x", summary="<script>alert(1)</script>")
    async def x(q: str = "<i>") -> None:
        """<img src=x>"""

    text = page(app).body.decode()

    assert "<script>alert" not in text
    assert "<img" not in text
    assert "<i>" not in text
    assert "<title>&lt;b&gt;&amp;: API</title>" in text


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({}, "any"),
        ({"type": "string", "format": "date"}, "string (date)"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"const": "a"}, '"a"'),
        ({"enum": ["a", 1]}, '"a" | 1'),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer | null"),
        ({"allOf": [{"$ref": "#/c/A"}, {"type": "object"}]}, "{a: integer} & object"),
        ({"type": "array", "items": {"type": "number"}}, "[number, ...]"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "{any name: number}"),
        ({"type": "object", "additionalProperties": True}, "object"),
        ({"$ref": "#/c/Unknown"}, "Unknown"),
        ({"type": "object", "properties": {"n": {"$ref": "#/c/Tree"}}}, "{n?: {n?: {n?: Tree}}}"),
        (
            {"type": "object", "properties": {"a" * 40: {"type": "string"}, "b" * 40: {}}, "required": ["a" * 40]},
            "{\n  " + "a" * 40 + ": string,\n  " + "b" * 40 + "?: any,\n}",
        ),
    ],
)
def test_outline(schema: dict[str, Any], text: str) -> None:
    """A JSON Schema is drawn as one expression; what refers to itself comes to an end."""
    known = {
        "A": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
        "Tree": {"type": "object", "title": "Tree", "properties": {"n": {"$ref": "#/c/Tree"}}},
    }

    assert outline(schema, known) == text
