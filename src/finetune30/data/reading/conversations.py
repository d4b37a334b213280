"""A conversation as a row: what the user says is the text, what the assistant answers the label.

    {"messages": [{"role": "system", …}, {"role": "user", "content": TEXT}, {"role": "assistant", "content": LABEL}]}

So files made for fine-tuning a chat model to classify can be read as they are. What the system says is the same
in every row and tells nothing of a text: it is passed over.
Neighbours: objects reads the lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetune30.data.reading.lines import Lines
from finetune30.data.table import Columns

_EXPECTED = "expected messages of system (if any), user and assistant, once each: the text and its label"
_PASSED_OVER = ("system", "developer")


def plain(row: dict[str, object], wanted: Columns, lines: Lines) -> dict[str, object]:
    """The row; of a conversation its ``text`` and ``label``.

    Raises: DataError for a conversation that is not one question and one answer.
    """
    messages = row.get("messages")
    if not isinstance(messages, list) or wanted.text in row:
        return row
    said = [_message(one, lines) for one in messages]
    told = [(role, content) for role, content in said if role not in _PASSED_OVER]
    if [role for role, _ in told] != ["user", "assistant"]:
        roles = ", ".join(role if role in (*_PASSED_OVER, "user", "assistant") else "another" for role, _ in said)
        raise lines.fault(f"the messages are of {roles or 'nobody'}", _EXPECTED)
    if messages[-1].get("weight") == 0:
        raise lines.fault("the answer has weight 0", "a row that teaches nothing is left out of the file")
    return {"text": told[0][1], "label": told[1][1]}


def _message(message: Any, lines: Lines) -> tuple[str, str]:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise lines.fault("a message is no object with a role", _EXPECTED)
    return message["role"], _text(message, lines)


def _text(message: Mapping[str, Any], lines: Lines) -> str:
    """Its content, which may come in parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [None]
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise lines.fault("the content of a message is no text", "expected a string; pictures and tools are not read")
    return "".join(str(text) for text in texts)
