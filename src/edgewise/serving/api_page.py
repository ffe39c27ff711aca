"""The OpenAPI document as one page to read, without anything fetched from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
code, pre { font: 14px/1.4 ui-monospace, monospace } pre { background: #f4f4f4; padding: .75rem;
overflow-x: auto } table { border-collapse: collapse } td, th { text-align: left; padding: .2rem
1rem .2rem 0; vertical-align: top }
"""


def api_page(document: Mapping[str, Any]) -> str:
    """Routes, what they are sent and what they answer, in the order of the document."""
    info = document["info"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>{escape(info['title'])} API</title>",
        f"<style>{_STYLE}</style><h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        f"<p>{escape(info['description'])}</p>",
        "<p>For programs: <a href=/openapi.json>/openapi.json</a>.</p>",
    ]
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>")
            parts.append(f"<p>{escape(told.get('description', ''))}</p>")
            sent = told.get("requestBody", {}).get("content", {}).get("application/json", {})
            if name := _name(sent.get("schema", {})):
                parts.append(_fields(schemas, name))
            answer = told["responses"].get("200", {}).get("content", {})
            if name := _name(answer.get("application/json", {}).get("schema", {})):
                parts.append(f"<p>Answers <a href='#{name}'>{name}</a>.</p>")
    parts.append("<h1>Objects</h1>")
    parts += [_fields(schemas, name) for name in schemas]
    return "\n".join(parts)


def _name(schema: Mapping[str, Any]) -> str:
    return schema.get("$ref", "").rpartition("/")[2]


def _fields(schemas: Mapping[str, Any], name: str) -> str:
    schema = schemas[name]
    rows = [
        f"<tr><td><code>{escape(field)}</code>{'*' if field in schema.get('required', ()) else ''}"
        f"<td>{escape(_kind(told))}<td>{escape(told.get('description', ''))}"
        for field, told in schema.get("properties", {}).items()
    ]
    examples = [
        f"<pre>{escape(json.dumps(each, indent=2))}</pre>" for each in schema.get("examples", ())
    ]
    told = escape(schema.get("description", ""))
    head = f"<h3 id='{name}'>{name}</h3><p>{told}</p>"
    return head + "<table>" + "".join(rows) + "</table>" + "".join(examples)


def _kind(schema: Mapping[str, Any]) -> str:
    if name := _name(schema):
        return name
    if choices := schema.get("anyOf"):
        return " or ".join(_kind(each) for each in choices)
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("type", "any"))
