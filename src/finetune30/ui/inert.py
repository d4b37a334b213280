"""Texts that somebody else wrote, where Streamlit reads Markdown: nothing in them is markup, image, link or icon."""

from __future__ import annotations

_SIGNS = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_{}[]()#+-!|$~:="} | {"<": "&lt;", ">": "&gt;"})


def inert(text: str) -> str:
    """The text, as it is."""
    return text.translate(_SIGNS)
