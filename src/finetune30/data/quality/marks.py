"""What faults of a single text look like: patterns that point at candidates, and the exact questions.

Patterns are RE2's, which knows no lookahead; they may point at too much, never at too little.
"""

from __future__ import annotations

import re
import unicodedata

# Controls but tab and line ends; the replacement character; invisible ones without a meaning in text
# (zero width joiners build emoji and Persian, so they stay); changes of direction; non-characters.
_CONTROL = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd\ufeff\u200b\u2028\u2029\u202a-\u202e\u2060\u2066-\u2069\ufff9-\uffff"
)
_CONTROLS = re.compile(f"[{_CONTROL}]|\r(?!\n)")
# Those that part words as white space does.
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")

MIGHT_BE_CONTROL = (
    r"[\x{0}-\x{8}\x{b}-\x{1f}\x{7f}-\x{9f}\x{fffd}\x{feff}\x{200b}"
    r"\x{2028}-\x{202e}\x{2060}-\x{2069}\x{fff9}-\x{ffff}]"
)
MIGHT_BE_HTML = r"<[A-Za-z/!]|&[A-Za-z#][A-Za-z0-9]*;"
MIGHT_SAY_LITTLE = r"^[^\pL\pN]*(?:[\pL\pN][^\pL\pN]*){0,2}$"


def has_control(text: str) -> bool:
    """Whether a text holds control, invisible or broken characters."""
    return _CONTROLS.search(text) is not None


def without_control(text: str) -> str:
    """The text without them; line ends of all kinds become line feeds."""
    return _CONTROLS.sub("", _LINE_ENDS.sub("\n", text).replace("\x1f", " "))


def says_little(text: str) -> bool:
    """Whether a text has no word: fewer than three letters, one where a character can be a word."""
    letters = symbols = 0
    for character in text:
        category = unicodedata.category(character)
        if category[0] in "LN":
            letters += 1
            if character >= "\u2e80":
                return False
        symbols += category == "So"  # an emoji says something
    return letters < 3 and not symbols
