"""A text as words: by spaces and punctuation, and where a script has no spaces by pairs of characters.

Pairs stand in for Chinese and Japanese words: most are two characters long, and no dictionary has to
be right. Neighbours: quality looks for giveaways among them, analysis counts them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# Han, kana and their extensions, Thai: scripts written without spaces.
_DENSE = "\u0e00-\u0e7f\u2e80-\u2fdf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_PARTS = re.compile(rf"([{_DENSE}]+)|[^\W{_DENSE}]+(?:['’][^\W{_DENSE}]+)*")


def runs(text: str) -> Iterator[tuple[str, bool]]:
    """The parts of a text in small letters, and of each whether its script has no spaces."""
    for match in _PARTS.finditer(text.casefold()):
        yield match[0], match[1] is not None


def words(text: str) -> list[str]:
    """The words of a text in order, in small letters; ``房間很大`` gives ``房間 間很 很大``."""
    found: list[str] = []
    for match in _PARTS.finditer(text.casefold()):
        part = match[0]
        if match[1] is None or len(part) == 1:
            found.append(part)
        else:
            found += [part[at : at + 2] for at in range(len(part) - 1)]
    return found


def count_words(text: str) -> int:
    """How long a text is: words, and each character of a script without spaces."""
    return sum(1 if match[1] is None else len(match[0]) for match in _PARTS.finditer(text))
