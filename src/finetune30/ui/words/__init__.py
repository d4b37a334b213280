"""Every word of the page, in two languages; a page's words are beside each other in ``words/<page>.py``.

A text is ``"page.key": (English, Traditional Chinese)``; ``{name}`` in it is filled in. What the API says (messages of
errors, names of checks) is shown as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

LANGUAGES: Mapping[str, str] = {"en": "English", "zh-TW": "繁體中文"}
_PLACES = {"en": 0, "zh-TW": 1}


@cache
def all_words() -> Mapping[str, tuple[str, str]]:
    """Every text, by its key."""
    found: dict[str, tuple[str, str]] = {}
    for module in iter_modules(__path__):
        some: Mapping[str, tuple[str, str]] = import_module(f"{__name__}.{module.name}").WORDS
        found |= {f"{module.name}.{key}": text for key, text in some.items()}
    return found


def words(key: str, language: str, **values: object) -> str:
    """The text of a key.

    Raises: KeyError; a test asks for each key that is written in the code.
    """
    text = all_words()[key][_PLACES[language]]
    return text.format(**values) if values else text


def preferred(asked: str | None, accept: str | None) -> str:
    """The language somebody asked for, else the best of those the browser's user reads."""
    if asked in LANGUAGES:
        return str(asked)
    for part in (accept or "").lower().split(","):
        code = part.split(";")[0].strip()
        if code.startswith("zh"):
            return "zh-TW"
        if code.startswith("en"):
            return "en"
    return "en"
