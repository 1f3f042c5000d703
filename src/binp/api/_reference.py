"""The API reference page: rendered on the server, in one file, without internet access and scripts."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ._outline import outline

__all__ = ["reference"]

_METHODS = ("get", "post", "put", "patch", "delete", "head", "options")

_STYLE = """
:root{color-scheme:light dark;--line:light-dark(#dfe3e9,#29303b);--card:light-dark(#fff,#151a21);
--muted:light-dark(#545e6c,#9ba6b6);--sunk:light-dark(#eef1f5,#1e242d);--link:light-dark(#1c4ab8,#8fb2ff)}
*{box-sizing:border-box}
body{margin:0 auto;max-width:58rem;padding:1.5rem 1rem 4rem;font:1rem/1.5 Inter,system-ui,sans-serif;
color:light-dark(#161b22,#e6eaf0);background:light-dark(#f6f7f9,#0d1015)}
h1{font-size:1.5rem;letter-spacing:-.02em;margin:0}
h2{font-size:1rem;margin:2rem 0 .5rem;text-transform:capitalize}
h3{font-size:.8125rem;color:var(--muted);margin:1rem 0 .25rem}
p{margin:.25rem 0}
a{color:var(--link)}
header p,.muted{color:var(--muted)}
details{margin:.5rem 0;border:1px solid var(--line);border-radius:10px;background:var(--card)}
summary{display:flex;flex-wrap:wrap;align-items:baseline;gap:.25rem .75rem;padding:.625rem .875rem;cursor:pointer}
summary::marker{content:""}
summary b{min-width:3.25rem;font:600 .75rem/1.5 ui-monospace,monospace;color:var(--link)}
summary span{color:var(--muted);font-size:.875rem}
details>div{padding:0 .875rem .875rem;border-top:1px solid var(--line)}
code,pre{font:.8125rem/1.6 ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
pre{margin:.25rem 0;padding:.625rem .75rem;border-radius:8px;background:var(--sunk);white-space:pre-wrap}
dl{display:grid;grid-template-columns:minmax(6rem,auto) 1fr;gap:.25rem 1rem;margin:.25rem 0;font-size:.875rem}
dd{margin:0;min-width:0}
:focus-visible{outline:2px solid var(--link);outline-offset:2px;border-radius:4px}
@media(max-width:40rem){dl{grid-template-columns:1fr}dd{margin:0 0 .5rem}}
"""
_CSP = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'"
)


def reference(app: FastAPI, request: Request) -> Response:
    """The reference page of *app*, from its OpenAPI document."""
    prefix = request.scope.get("root_path", "").rstrip("/")
    page = _page(app.openapi(), prefix, prefix + str(app.openapi_url))
    return HTMLResponse(page, headers={"content-security-policy": _CSP, "referrer-policy": "no-referrer"})


def _page(document: Mapping[str, Any], prefix: str, source: str) -> str:
    info = document["info"]
    about = info.get("description") or info.get("summary") or ""
    groups: dict[str, list[str]] = {}
    for path, item in document.get("paths", {}).items():
        for method in _METHODS:
            if method in item:
                tag = next(iter(item[method].get("tags", ())), "routes")
                groups.setdefault(tag, []).append(_operation(method, prefix + path, item[method], document))
    body = "".join(f"<section><h2>{escape(tag)}</h2>{''.join(found)}</section>" for tag, found in groups.items())
    title = escape(str(info["title"]))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}: API</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><header><h1>{title}</h1>{f'<p>{escape(about)}</p>' if about else ''}"
        f'<p><a href="{escape(source)}">OpenAPI document</a></p></header>'
        f"<main>{body or '<p>There are no routes yet.</p>'}</main></body></html>"
    )


def _operation(method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    schemas = document.get("components", {}).get("schemas", {})
    summary = operation.get("summary", "")
    parts = [f"<p>{escape(text)}</p>" for text in operation.get("description", "").split("\n\n") if text.strip()]
    parts += _parameters(operation, schemas)
    body = _content(operation.get("requestBody", {}))
    if body is not None:
        parts.append(f"<h3>Body</h3><pre>{escape(outline(body, schemas))}</pre>")
    parts += _answers(operation, schemas)
    parts.append(f"<h3>From a terminal</h3><pre>{escape(_curl(method, path, has_body=body is not None))}</pre>")
    return (
        f"<details><summary><b>{method.upper()}</b><code>{escape(path)}</code><span>{escape(summary)}</span></summary>"
        f"<div>{''.join(parts)}</div></details>"
    )


def _parameters(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    parameters = operation.get("parameters", ())
    if not parameters:
        return
    yield "<h3>Parameters</h3><dl>"
    for one in parameters:
        schema = one.get("schema", {})
        kind = outline(schema, schemas)
        if schema.get("default") not in (None, []):
            kind += f" = {json.dumps(schema['default'])}"
        about = one.get("description") or schema.get("description") or ""
        must = ", required" if one.get("required") else ""
        yield f'<dt><code>{escape(one["name"])}</code> <span class="muted">{escape(one["in"])}{must}</span></dt>'
        yield f"<dd><code>{escape(kind)}</code> {escape(about)}</dd>"
    yield "</dl>"


def _answers(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    yield "<h3>Answers</h3><dl>"
    for status, answer in operation.get("responses", {}).items():
        schema = _content(answer)
        shape = f"<pre>{escape(outline(schema, schemas))}</pre>" if schema and str(status).startswith("2") else ""
        yield f"<dt><code>{escape(str(status))}</code></dt><dd>{escape(answer.get('description', ''))}{shape}</dd>"
    yield "</dl>"


def _content(part: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema of a body of any media type; None if there is no body."""
    found = next(iter(part.get("content", {}).values()), None)
    return None if found is None else found.get("schema", {})


def _curl(method: str, path: str, *, has_body: bool) -> str:
    options = "" if method == "get" else f" -X {method.upper()}"
    if has_body:
        options += " -H 'Content-Type: application/json' -d '{}'"
    return f'curl -H "Authorization: Bearer $(binp token)"{options} http://127.0.0.1:8000{path}'
