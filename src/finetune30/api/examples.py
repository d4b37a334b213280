"""What an answer looks like, for OpenAPI: made from its schema, so that no route can be without one.

A field's name says what stands in it (``_SAID``), else its type does. Neighbours: ``app`` puts these into the document.
"""

from __future__ import annotations

from typing import Any

_DEEPEST = 6
_TASK, _USER = "first_20260131_120000", "u_0123456789abcdef"
_SAID: dict[str, Any] = {
    "id": _TASK,
    "task_id": _TASK,
    "experiment_id": _TASK,
    "user_id": _USER,
    "name": "first",
    "owner": "ana",
    "user_name": "ana",
    "token": "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.…",
    "refresh_token": "a text of 43 letters and digits",
    "expires_in": 1800,
    "created_at": 1769860800.0,
    "started_at": 1769860805.0,
    "finished_at": 1769860865.0,
    "at": 1769860800.0,
    "base_model": "builtin:minilm",
    "dataset": "builtin:reviews",
    "queue": "train",
    "worker": "host-1:4711",
    "action": "task.submit",
    "outcome": "ok",
    "address": "127.0.0.1",
    "request_id": "0123456789abcdef0123456789abcdef",
    "eval_accuracy": 0.91,
    "accuracy": 0.91,
    "train_runtime": 60.0,
    "dataset_hash": "0" * 64,
    "sha256": "0" * 64,
}
_BY_TYPE: dict[str, Any] = {"string": "text", "integer": 1, "number": 1.0, "boolean": False, "null": None}


def put_into(document: dict[str, Any]) -> None:
    """Give every good answer an example that has none."""
    parts = document.get("components", {}).get("schemas", {})
    for ways in document["paths"].values():
        for operation in ways.values():
            for status, answer in operation["responses"].items():
                for media in answer.get("content", {}).values() if status.startswith("2") else ():
                    if not {"example", "examples"} & media.keys():
                        media["example"] = _example(media.get("schema", {}), parts)


def _example(schema: dict[str, Any], parts: dict[str, Any], name: str = "", depth: int = 0) -> Any:
    if "$ref" in schema:
        schema = parts[schema["$ref"].rsplit("/", 1)[-1]]
    for key in ("example", "const", "default"):
        if schema.get(key) is not None:
            return schema[key]
    for key in ("enum", "examples"):
        if schema.get(key):
            return schema[key][0]
    one_of = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if one_of:
        return _example(one_of[0], parts, name, depth)
    if schema.get("type") == "array":
        return [] if depth > _DEEPEST else [_example(schema.get("items", {}), parts, name, depth + 1)]
    if schema.get("type") == "object" or "properties" in schema:
        inner = schema.get("properties", {}) if depth <= _DEEPEST else {}
        return {key: _example(part, parts, key, depth + 1) for key, part in inner.items()}
    kind = schema.get("type", "")
    said = _SAID.get(name)
    fits = {"string": str, "integer": int, "number": int | float}.get(kind)
    return said if fits is not None and isinstance(said, fits) else _BY_TYPE.get(kind)
