"""What an unquoted word of a configuration means: YAML 1.2's core types, and nothing clever.

``1e-4`` is a number. ``no`` is a word, ``12:30:45`` and ``1_000`` are text, and no date is made
of anything. Neighbours: reading, overrides and writing agree through this module.
"""

from __future__ import annotations

import re

# 300 digits are more than any key takes and less than Python refuses to read.
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,299})")
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_INFINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)")
_NOT_A_NUMBER = re.compile(r"\.(?:nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_SOMETIMES_BOOLEAN = re.compile(r"yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF")


class AmbiguousWord(str):
    """``yes``, ``no``, ``on`` or ``off`` without quotes: text here, true or false to YAML 1.1 readers."""

    __slots__ = ()


def plain(text: str) -> bool | int | float | str | None:
    """The value of an unquoted scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _LEADING_ZERO.fullmatch(text):
        return text  # 010 is eight to some readers and ten to others
    if _NUMBER.fullmatch(text) and len(text) <= 300:
        return float(text)
    if _INFINITE.fullmatch(text):
        return float("-inf" if text.startswith("-") else "inf")
    if _NOT_A_NUMBER.fullmatch(text):
        return float("nan")
    return AmbiguousWord(text) if _SOMETIMES_BOOLEAN.fullmatch(text) else text


def is_word(text: str) -> bool:
    """Whether an unquoted ``text`` would be read as exactly this text."""
    return type(plain(text)) is str
