"""From the tree of a filter to a condition of SQL: expressions with bound parameters, never text.

Promise: every condition is true or false, never NULL, and the same on SQLite and PostgreSQL. What their functions
would say differently (LIKE, lower(), casts of JSON) is not used, or compiled for each.
Neighbours: ``tree`` says what it means.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Double, String, and_, cast, false, func, literal, not_, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from finetune30.experiments.record import search_key
from finetune30.experiments.where.tree import All, Comparison, Day, Field, Kind, Missing, Not, Value, Where
from finetune30.experiments.where.tree import Any as AnyOf

_COMPARE: Mapping[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def condition(where: Where) -> ColumnElement[bool]:
    """The condition that the rows meet which ``where`` means."""
    match where:
        case Comparison(operator=sign, field=field, values=values):
            return or_(false(), *(_compared(field, "=" if sign == "IN" else sign, value) for value in values))
        case Missing(field=field):
            return not_(_is_there(field))
        case Not(part=part):
            return not_(condition(part))
        case All(parts=parts):
            return and_(*map(condition, parts))
        case AnyOf(parts=parts):
            return or_(*map(condition, parts))


def _is_there(field: Field) -> ColumnElement[bool]:
    if field.kind is Kind.KEY:
        return json_type(field.column, literal(field.path)) != "null"
    return field.column.is_not(None)


def _compared(field: Field, sign: str, value: Value) -> ColumnElement[bool]:
    if field.kind is Kind.KEY:
        return _key_compared(field, sign, value)
    column: ColumnElement[Any] = field.column
    if field.kind is Kind.NAME:
        column, value = field.column, search_key(str(value))
    elif field.kind is Kind.TEXT and sign == "~":
        column, value = ascii_lower(column), _ascii_lower(str(value))
    found = _holds(column, str(value)) if sign == "~" else _of_span(column, sign, value)
    return and_(field.column.is_not(None), found)


def _key_compared(field: Field, sign: str, value: Value) -> ColumnElement[bool]:
    path = literal(field.path)
    if isinstance(value, bool):
        found: ColumnElement[bool] = json_type(field.column, path) == ("true" if value else "false")
    elif isinstance(value, str):
        text: ColumnElement[Any] = json_text(field.column, path)
        found = _holds(ascii_lower(text), _ascii_lower(value)) if sign == "~" else text == literal(value)
    else:
        found = _COMPARE[sign](json_number(field.column, path), cast(literal(value), Double))
    return func.coalesce(found, false())


def _holds(column: ColumnElement[Any], part: str) -> ColumnElement[bool]:
    return place_of(column, literal(part)) > 0


def _of_span(column: ColumnElement[Any], sign: str, value: Value) -> ColumnElement[bool]:
    if not isinstance(value, Day):
        return _COMPARE[sign](column, value)
    match sign:
        case "=":
            return and_(column >= value.start, column < value.end)
        case "<" | ">=":
            return _COMPARE[sign](column, value.start)
        case _:  # behind a day is from the next one on; up to a day holds the day
            return column >= value.end if sign == ">" else column < value.end


def _ascii_lower(text: str) -> str:
    return "".join(one.lower() if one.isascii() else one for one in text)


class place_of(FunctionElement[int]):  # noqa: N801
    """Where a text begins in another, from 1; 0 where it does not. LIKE would pass over case on SQLite alone."""

    inherit_cache = True
    name = "place_of"


class ascii_lower(FunctionElement[str]):  # noqa: N801
    """Without the case of A to Z; that of other letters is the business of locales."""

    type = String()
    inherit_cache = True
    name = "ascii_lower"


class json_type(FunctionElement[str]):  # noqa: N801
    """What stands at a path: number, string, true, false, array, object; null where nothing does."""

    type = String()
    inherit_cache = True
    name = "json_type"


class json_text(FunctionElement[str]):  # noqa: N801
    """The text at a path, NULL where there is none."""

    type = String()
    inherit_cache = True
    name = "json_text"


class json_number(FunctionElement[float]):  # noqa: N801
    """The number at a path, NULL where there is none: a cast of anything else would be an error."""

    type = Double()
    inherit_cache = True
    name = "json_number"


@compiles(place_of, "sqlite")
def _place_sqlite(element: place_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(place_of, "postgresql")
def _place_postgresql(element: place_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"


@compiles(ascii_lower, "sqlite")
def _lower_sqlite(element: ascii_lower, compiler: SQLCompiler, **options: Any) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


@compiles(ascii_lower, "postgresql")
def _lower_postgresql(element: ascii_lower, compiler: SQLCompiler, **options: Any) -> str:
    return f'lower(({compiler.process(element.clauses, **options)}) COLLATE "C")'


def _parts(element: FunctionElement[Any], compiler: SQLCompiler, options: Any) -> tuple[str, str]:
    column, path = (compiler.process(one, **options) for one in element.clauses)
    return column, f"'$.' || {path}" if compiler.dialect.name == "sqlite" else f"string_to_array({path}, '.')"


@compiles(json_type, "sqlite")
def _type_sqlite(element: json_type, compiler: SQLCompiler, **options: Any) -> str:
    column, path = _parts(element, compiler, options)
    told = "WHEN 'integer' THEN 'number' WHEN 'real' THEN 'number' WHEN 'text' THEN 'string'"
    return f"coalesce(CASE json_type({column}, {path}) {told} ELSE json_type({column}, {path}) END, 'null')"


@compiles(json_type, "postgresql")
def _type_postgresql(element: json_type, compiler: SQLCompiler, **options: Any) -> str:
    column, path = _parts(element, compiler, options)
    told = f"WHEN 'boolean' THEN {column} #>> {path}"
    return f"coalesce(CASE json_typeof({column} #> {path}) {told} ELSE json_typeof({column} #> {path}) END, 'null')"


@compiles(json_text, "sqlite")
def _text_sqlite(element: json_text, compiler: SQLCompiler, **options: Any) -> str:
    column, path = _parts(element, compiler, options)
    return f"CASE json_type({column}, {path}) WHEN 'text' THEN json_extract({column}, {path}) END"


@compiles(json_text, "postgresql")
def _text_postgresql(element: json_text, compiler: SQLCompiler, **options: Any) -> str:
    column, path = _parts(element, compiler, options)
    return f"CASE json_typeof({column} #> {path}) WHEN 'string' THEN {column} #>> {path} END"


@compiles(json_number, "sqlite")
def _number_sqlite(element: json_number, compiler: SQLCompiler, **options: Any) -> str:
    column, path = _parts(element, compiler, options)
    found = f"CAST(json_extract({column}, {path}) AS REAL)"
    return f"CASE json_type({column}, {path}) WHEN 'integer' THEN {found} WHEN 'real' THEN {found} END"


@compiles(json_number, "postgresql")
def _number_postgresql(element: json_number, compiler: SQLCompiler, **options: Any) -> str:
    column, path = _parts(element, compiler, options)
    found = f"CAST({column} #>> {path} AS DOUBLE PRECISION)"
    return f"CASE json_typeof({column} #> {path}) WHEN 'number' THEN {found} END"
