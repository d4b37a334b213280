"""validation_rules: which rows are dropped, and what is stripped from the others.

Every row that goes or changes is counted under the rule that did it; a split with nothing left is
an error that tells the counts. Neighbours: prepare applies them to each split.
"""

from __future__ import annotations

import html
import re
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from finetune30.data.fold import texts_and_pairs
from finetune30.data.table import Table
from finetune30.errors import DataError

if TYPE_CHECKING:
    from finetune30.config.schema import ValidationRules

# Only names of HTML, so that "<user>", "x<y and z>w" and "I <3 you" stay.
_NO_ROWS = "only the names of the columns are there: add a row for each text, with its label, and send it again"
_INLINE_TAGS = (
    "a|abbr|acronym|b|bdi|bdo|big|cite|code|del|dfn|em|font|i|ins|kbd|mark|q|s|samp|small|span|strike|strong|"
    "sub|sup|tt|u|var|wbr"
)
_BLOCK_TAGS = (
    "address|article|aside|audio|base|blockquote|body|br|button|canvas|caption|center|col|colgroup|dd|details|"
    "dialog|dir|div|dl|dt|fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html|"
    "iframe|img|input|label|legend|li|link|main|map|meta|nav|noscript|object|ol|optgroup|option|p|picture|pre|"
    "script|section|select|source|style|summary|svg|table|tbody|td|template|textarea|tfoot|th|thead|title|tr|"
    "track|ul|video"
)
# Attributes need a value, or be known to need none: "a <b and b> c" is arithmetic.
_WITHOUT_VALUE = (
    "async|autoplay|checked|compact|controls|default|defer|disabled|hidden|loop|multiple|muted|noshade|novalidate|"
    "nowrap|open|readonly|required|reversed|selected"
)
_VALUE = r"""\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+)"""
_TAG_END = rf"(?:\s+(?:[a-z@:_][\w:.@-]*{_VALUE}|(?:{_WITHOUT_VALUE})(?=[\s/>])))*\s*/?>"
_INLINE = re.compile(rf"</?(?:{_INLINE_TAGS}){_TAG_END}", re.IGNORECASE)
# What is not text goes whole. Each alternative stops at its own next beginning: linear time.
_BLOCK = re.compile(
    rf"<script{_TAG_END}(?:(?!</?script).)*</script\s*>"
    rf"|<style{_TAG_END}(?:(?!</?style).)*</style\s*>"
    r"|<!--(?:(?!-->|<!--).)*-->"
    r"|<!doctype[^<>]*>"
    rf"|</?(?:{_BLOCK_TAGS}){_TAG_END}",
    re.IGNORECASE | re.DOTALL,
)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")


@dataclass(frozen=True)
class Kept:
    """The rows of a table that the rules keep, by their ascending places in it.

    ``dropped`` counts rows by rule; ``stripped`` counts kept rows whose text lost its HTML.
    """

    rows: NDArray[np.int64]
    dropped: dict[str, int]
    stripped: int


def keep(table: Table, rules: ValidationRules) -> Kept:
    """Apply the rules to every row, in this order: HTML, empty, too short, too long.

    Raises: DataError when no row is left, saying which rule dropped how many.
    """
    rows = array("q")
    dropped = {"empty": 0, "too_short": 0, "too_long": 0}
    stripped = 0
    for row, (found, found_pair) in enumerate(texts_and_pairs(table)):
        text, pair = found, found_pair or ""
        if rules.remove_html:
            text, pair = without_html(text), without_html(pair)
        # A pair is one text in two parts: either may be empty, not both.
        fault = fault_of(text + pair, rules)
        if fault:
            dropped[fault] += 1
            continue
        rows.append(row)
        stripped += (text, pair) != (found, found_pair or "")
    if not rows:
        raise _nothing_left(table, dropped)
    return Kept(np.frombuffer(rows, np.int64), dropped, stripped)


def without_html(text: str) -> str:
    """The text as a browser would show it: no tags, no comments, entities as their characters."""
    if "<" in text:
        parts = _BLOCK.split(_INLINE.sub("", text))
        # Text without block tags keeps its white space as it was.
        text = " ".join(p.strip() for p in parts if p and not p.isspace()) if len(parts) > 1 else parts[0]
    if "&" in text:
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]).replace("\xa0", " "), text)
    return text


def fault_of(text: str, rules: ValidationRules) -> str | None:
    """The rule that drops a text: ``empty``, ``too_short``, ``too_long``, or None."""
    if not text or text.isspace():
        return None if rules.allow_empty else "empty"
    if len(text) < rules.min_text_length:
        return "too_short"
    if rules.max_text_length is not None and len(text) > rules.max_text_length:
        return "too_long"
    return None


def _nothing_left(table: Table, dropped: dict[str, int]) -> DataError:
    if not len(table.texts):
        return DataError("the split has no rows", where=table.where, hint=_NO_ROWS)
    told = ", ".join(f"{count} as {rule}" for rule, count in dropped.items() if count)
    return DataError(
        f"no usable row is left: of {len(table.texts)} rows data.validation_rules dropped {told}",
        where=table.where,
        hint=f"text is read from column {table.columns.text!r}; loosen the rule or choose another column",
    )
