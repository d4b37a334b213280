"""Texts that somebody else wrote, where Streamlit reads Markdown: nothing in them is markup, image, link or icon.

A backslash keeps signs from being markup. Addresses, names of icons and arrows Streamlit finds afterwards, in what is
then plain text: a word joiner, which has no width, stands in the middle of those.
"""

from __future__ import annotations

import re

_SIGNS = str.maketrans(
    {sign: f"\\{sign}" for sign in "\\`*_{}[]()#+-!|$~:=."} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
)
_FOUND_LATER = re.compile(r"(?<=:)(?=\S)|(?<=www)(?=\.)|(?=@)|(?<=-)(?=[->])|(?<=<)(?=[-=])|(?<=>)(?==)", re.IGNORECASE)


def inert(text: str) -> str:
    """The text, looking as it is."""
    return _FOUND_LATER.sub("\u2060", text).translate(_SIGNS)
