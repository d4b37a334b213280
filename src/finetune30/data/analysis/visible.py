"""Names and texts of users where people read them: nothing in them acts on what stands around.

Neighbours: text, plots and page send through here whatever came from a dataset.
"""

from __future__ import annotations

import unicodedata

# They join letters or keep them apart, in Persian words and in emoji, and leave all others alone.
_JOINERS = "\u200c\u200d"


def visible(text: str) -> str:
    """The text with U+FFFD for each control character, change of direction and other letter without a shape."""
    if text.isprintable():
        return text
    return "".join(letter if _has_shape(letter) else "\ufffd" for letter in text)


def _has_shape(letter: str) -> bool:
    return letter.isprintable() or letter in _JOINERS or unicodedata.category(letter) == "Zs"
