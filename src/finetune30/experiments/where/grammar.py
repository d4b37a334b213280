"""From the text of a filter to its tree, by lark; and from any fault to what was expected where.

Promise: linear in the length of the text (LALR), and bounded: so many characters, comparisons, levels.
Neighbours: ``fields`` knows the names and reads the values. lark is imported by the first filter, not before.
"""

from __future__ import annotations

import re
from collections.abc import Set
from functools import cache
from typing import TYPE_CHECKING, Any

from finetune30.errors import FilterError
from finetune30.experiments.where.fields import ORDERED, WORDED, field_of, value_of
from finetune30.experiments.where.tree import All, Comparison, Field, Kind, Missing, Not, Where, depth, leaves
from finetune30.experiments.where.tree import Any as AnyOf

if TYPE_CHECKING:
    from lark import Lark, Token

LONGEST, MOST_TERMS, MOST_KEYS, DEEPEST = 1000, 50, 8, 16
_GRAMMAR = r"""
start: either
either: both (_OR both)*
both: item (_AND item)*
?item: _NOT item -> negation
     | "(" either ")" -> group
     | WORD OPERATOR _value -> comparison
     | WORD _IN "(" _value ("," _value)* ")" -> among
     | WORD _NOT _IN "(" _value ("," _value)* ")" -> beyond
     | WORD _IS _NULL -> missing
     | WORD _IS _NOT _NULL -> present
_value: WORD | STRING

OPERATOR: /!=|!~|<=|>=|=|<|>|~/
STRING: /"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/
WORD: /[^\s()=!<>~,"']+/
_OR.2: /or(?![^\s()=!<>~,"'])/i
_AND.2: /and(?![^\s()=!<>~,"'])/i
_NOT.2: /not(?![^\s()=!<>~,"'])/i
_IN.2: /in(?![^\s()=!<>~,"'])/i
_IS.2: /is(?![^\s()=!<>~,"'])/i
_NULL.2: /null(?![^\s()=!<>~,"'])/i
%ignore /\s+/
"""
_RESERVED = frozenset({"and", "or", "not", "in", "is", "null"})
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
# What the parser could go on with, said in words; the first that fits.
_EXPECTED = (
    ({"STRING"}, "a value"),
    ({"OPERATOR"}, "=, !=, <, <=, >, >=, ~, !~, IN, NOT IN or IS"),
    ({"_NOT", "_NULL"}, "NULL or NOT NULL"),
    ({"_NOT"}, "a field, NOT or ("),
    ({"_NULL"}, "NULL"),
    ({"LPAR"}, "("),
    ({"COMMA"}, ", or )"),
    ({"_AND", "RPAR"}, "AND, OR or )"),
    ({"_AND"}, "AND, OR or the end"),
)


def parse(text: str) -> Where:
    """The tree that ``text`` says.

    Raises: FilterError.
    """
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken

    if len(text) > LONGEST:
        raise FilterError(f"the filter has {len(text)} characters, expected at most {LONGEST}", at=LONGEST + 1)
    for place, character in enumerate(text, 1):
        if character in "\0\ufffd" or "\ud800" <= character <= "\udfff":
            raise FilterError("expected text", at=place)
    try:
        found: Where = _parser().parse(text)  # type: ignore[assignment]  # the transformer makes trees of ours
    except UnexpectedToken as fault:
        at = len(text.rstrip()) + 1 if fault.token.type == "$END" else (fault.token.start_pos or 0) + 1
        raise FilterError(f"expected {_told(fault.accepts or fault.expected)}", at=at) from None
    except UnexpectedCharacters as fault:
        at = (fault.pos_in_stream or 0) + 1
        if text[at - 1] in "\"'" and "STRING" in fault.allowed:
            raise FilterError(f"expected a closing {text[at - 1]}", at=len(text) + 1) from None
        raise FilterError(f"expected {_told(fault.allowed)}", at=at) from None
    return _bounded(found)


def _bounded(found: Where) -> Where:
    compared = [len(one.values) if isinstance(one, Comparison) else 1 for one in leaves(found)]
    read = [one for one in leaves(found) if one.field.kind is Kind.KEY]  # each has the JSON of every row read
    for what, count, most in (
        ("compares {} values", sum(compared), MOST_TERMS),
        ("asks {} times for config.…, metrics.… or error.…", len(read), MOST_KEYS),
        ("is {} levels deep", depth(found), DEEPEST),
    ):
        if count > most:
            raise FilterError(f"the filter {what.format(count)}, expected at most {most}", at=1)
    return found


def _told(allowed: Set[str]) -> str:
    return next((told for names, told in _EXPECTED if names <= allowed), "the end")


@cache
def _parser() -> Lark:
    from lark import Lark, Transformer, v_args

    @v_args(inline=True)
    class Builder(Transformer[Any, Any]):
        """Called by the parser while it reads: no tree of lark's is ever made, and nothing recurses."""

        def start(self, found: Where) -> Where:
            return found

        def either(self, *parts: Where) -> Where:
            return parts[0] if len(parts) == 1 else AnyOf(parts)

        def both(self, *parts: Where) -> Where:
            return parts[0] if len(parts) == 1 else All(parts)

        def negation(self, part: Where) -> Where:
            return Not(part)

        def group(self, part: Where) -> Where:
            return part

        def comparison(self, name: Token, operator: Token, value: Token) -> Where:
            return _comparison(name, operator, value)

        def among(self, name: Token, *values: Token) -> Comparison:
            field = _field(name)
            return Comparison(field, "IN", tuple(_value(field, one) for one in values))

        def beyond(self, name: Token, *values: Token) -> Where:
            return _other_than(self.among(name, *values))

        def missing(self, name: Token) -> Where:
            return Missing(_field(name))

        def present(self, name: Token) -> Where:
            return Not(Missing(_field(name)))

    return Lark(_GRAMMAR, parser="lalr", lexer="contextual", transformer=Builder())


def _comparison(name: Token, operator: Token, value: Token) -> Where:
    field, sign = _field(name), str(operator)
    found = _value(field, value)
    of_text = field.kind in WORDED or (field.kind is Kind.KEY and isinstance(found, str))
    if sign in ("~", "!~"):
        if not of_text:
            raise FilterError(f"expected {_signs(field, of_text)}", at=_at(operator))
        if not found:
            raise FilterError("expected some text", at=_at(value))
    elif sign not in ("=", "!="):
        ordered = field.kind in ORDERED or (field.kind is Kind.KEY and type(found) is float)
        if not ordered:
            raise FilterError(f"expected {_signs(field, of_text)}", at=_at(operator))
    if sign in ("!~", "!="):
        return _other_than(Comparison(field, {"!~": "~", "!=": "="}[sign], (found,)))
    return Comparison(field, sign, (found,))


def _other_than(comparison: Comparison) -> Where:
    """What is there, but not so."""
    return All((Not(Missing(comparison.field)), Not(comparison)))


def _signs(field: Field, of_text: bool) -> str:
    if field.kind in ORDERED or (field.kind is Kind.KEY and not of_text and "number" in field.takes):
        return "=, !=, <, <=, >, >= or IN"
    return "=, !=, ~, !~ or IN" if of_text else "=, != or IN"


def _field(name: Token) -> Field:
    return field_of(str(name), _at(name))


def _value(field: Field, token: Token) -> Any:
    text = str(token)
    if token.type != "STRING":
        if text.lower() in _RESERVED:
            raise FilterError("expected a value; a word of the language stands in quotes", at=_at(token))
        return value_of(field, text, False, _at(token))
    for escaped in _ESCAPED.finditer(text):
        if escaped[1] not in "\\\"'":
            raise FilterError(r"expected \\, \" or \' behind a backslash", at=_at(token) + escaped.start())
    return value_of(field, _ESCAPED.sub(r"\1", text[1:-1]), True, _at(token))


def _at(token: Token) -> int:
    return (token.start_pos or 0) + 1
