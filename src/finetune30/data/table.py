"""The text and label cells of one split, as found.

Nothing is dropped or changed yet: a row's place in the table is its place in the source, which is
how every later room names it. Neighbours: files and hub fill a table, prepare makes rows of it.
"""

from __future__ import annotations

import difflib
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from finetune30.data.stored import Numbers, Texts, Writer
from finetune30.errors import DataError

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig

Cell = str | tuple[str, ...] | None
"""A label cell: one label, several (multi-label), or none told."""

_TEXT_NAMES = (
    "text", "sentence", "review", "content", "comment", "tweet", "message", "body", "document",
    "utterance", "query", "question", "文本", "文字", "內容", "内容", "正文", "句子", "語句", "语句", "評論", "评论",
    "留言", "訊息", "消息", "問題", "问题", "文章", "title", "標題", "标题",
)  # fmt: skip
_LABEL_NAMES = (
    "label", "labels", "target", "category", "class", "sentiment", "intent", "topic", "tag", "tags",
    "標籤", "标签", "標註", "标注", "類別", "类别", "分類", "分类", "類型", "类型", "情感", "情緒", "情绪", "意圖",
    "意图", "主題", "主题",
)  # fmt: skip
_NAMED_AT_MOST = 5


@dataclass(frozen=True)
class Columns:
    """Which columns hold what; None: to be found by name (a pair: there is none).

    Args:
        separator: Splits a label cell into several labels.
        flags: Columns of 0 and 1, one a label, in place of ``label``.
        unlabelled: No label is wanted: texts alone are read.
    """

    text: str | None = None
    label: str | None = None
    pair: str | None = None
    separator: str | None = None
    flags: tuple[str, ...] = ()
    unlabelled: bool = False

    @property
    def several(self) -> bool:
        """Whether a row may have several labels, as far as the columns tell."""
        return self.separator is not None or bool(self.flags)


class Labels(Sequence[Cell]):
    """The label cells of a table, each distinct one kept once.

    Args:
        codes: Shape (rows,): position in ``cells``; -1 where a row tells no label.
        cells: What the source says: a label, or several.
    """

    def __init__(self, codes: NDArray[np.signedinteger[Any]], cells: Sequence[str | tuple[str, ...]]) -> None:
        self.cells = tuple(cells)
        self.codes = codes.astype(smallest_for(len(self.cells)), copy=False)

    @classmethod
    def of(cls, cells: Iterable[Cell]) -> Labels:
        """From one cell a row."""
        known: dict[Cell, int] = {None: -1}
        codes = array("i", (known.setdefault(cell, len(known) - 1) for cell in cells))
        return cls(np.frombuffer(codes, np.int32) if codes else np.zeros(0, np.int32), _told(known))

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, at: int) -> Cell: ...
    @overload
    def __getitem__(self, at: slice) -> list[Cell]: ...
    def __getitem__(self, at: int | slice) -> Cell | list[Cell]:
        if isinstance(at, slice):
            return [self._cell(code) for code in self.codes[at]]
        return self._cell(self.codes[at])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Labels({len(self)} rows, {shortened(map(repr, self.cells))})"

    @property
    def several(self) -> bool:
        """Whether cells hold several labels each."""
        return any(isinstance(cell, tuple) for cell in self.cells)

    def renamed(self, change: Callable[[str | tuple[str, ...]], Cell]) -> Labels:
        """The same rows, each distinct cell changed; cells that become equal become one."""
        known: dict[Cell, int] = {None: -1}
        new = [known.setdefault(change(cell), len(known) - 1) for cell in self.cells]
        return Labels(np.array([*new, -1], np.int32)[self.codes], _told(known))

    def _cell(self, code: int) -> Cell:
        return None if code < 0 else self.cells[code]


def smallest_for(count: int) -> type[np.signedinteger[Any]]:
    """The type of numbers from -1 up to a count that takes the least memory."""
    return np.int16 if count < np.iinfo(np.int16).max else np.int32


@dataclass(frozen=True, eq=False)
class Table:
    """One split of a source: ``texts[i]`` and ``labels[i]`` are its row ``i``, counted from 0.

    ``labels[i]`` is None where the source has none. ``lines[i]`` is the line of the file, counted
    from 1, where row ``i`` begins. ``label_order`` is set where the source itself orders its labels.
    """

    where: str
    columns: Columns
    texts: Texts
    labels: Labels
    pairs: Texts | None = None
    lines: Sequence[int] | None = None
    label_order: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    def place(self, row: int) -> str:
        """How a person finds a row again: ``line 5 (row 3)``."""
        return f"row {row}" if self.lines is None else f"line {self.lines[row]} (row {row})"

    def places(self, rows: Sequence[int] | NDArray[np.int64]) -> str:
        """The first few of many rows, and how many more there are."""
        return shortened([self.place(int(row)) for row in rows[:_NAMED_AT_MOST]], total=len(rows))


class TableWriter:
    """Builds a table row by row, in bounded memory.

    Args:
        columns: The columns as chosen; with ``pair`` each row brings a second text.
        has_lines: Each row brings its line.
    """

    def __init__(self, where: str, columns: Columns, *, has_lines: bool) -> None:
        self.where = where
        self.columns = columns
        kinds = {"text": "string"}
        if columns.pair is not None:
            kinds["pair"] = "string"
        if has_lines:
            kinds["line"] = "int64"
        self._rows = Writer(kinds)
        self._codes = array("i")
        self._known: dict[Cell, int] = {None: -1}
        self._has_lines = has_lines

    def __len__(self) -> int:
        return len(self._codes)

    def add(self, text: str, label: Cell, *, line: int = 0, pair: str | None = None) -> None:
        """One row.

        Args:
            label: As the source says it; a tuple where a row may have several, None where it tells none.
            line: Where it begins, counted from 1.
        """
        texts = (text,) if self.columns.pair is None else (text, pair or "")
        self._rows.add(*texts, *((line,) if self._has_lines else ()))
        self._codes.append(self._known.setdefault(label, len(self._known) - 1))

    def finish(self, *, notes: Iterable[str] = (), label_order: tuple[str, ...] | None = None) -> Table:
        """The table of all rows added."""
        stored = self._rows.finish()
        codes = np.frombuffer(self._codes, np.int32) if self._codes else np.zeros(0, np.int32)
        return Table(
            self.where,
            self.columns,
            Texts(stored, "text"),
            Labels(codes, _told(self._known)),
            None if self.columns.pair is None else Texts(stored, "pair"),
            Numbers(stored, "line") if self._has_lines else None,
            label_order,
            tuple(notes),
        )


def _told(known: Mapping[Cell, int]) -> list[str | tuple[str, ...]]:
    return [cell for cell in known if cell is not None]


def shortened(names: Iterable[str], total: int | None = None) -> str:
    """At most five names joined by commas, then ``and N more``."""
    listed = list(names)
    total = len(listed) if total is None else total
    more = f" and {total - _NAMED_AT_MOST} more" if total > _NAMED_AT_MOST else ""
    return ", ".join(listed[:_NAMED_AT_MOST]) + more


def did_you_mean(wrong: str, names: Iterable[str]) -> str:
    """``did you mean 'text'?``, or nothing when no name is near."""
    by_folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(wrong.casefold(), by_folded, n=1)
    return f"did you mean {by_folded[near[0]]!r}?" if near else ""


def columns_wanted(config: ExperimentConfig) -> Columns:
    """The columns that the configuration names."""
    data = config.data
    return Columns(
        data.text_column,
        data.label_column,
        data.text_pair_column,
        data.label_separator,
        tuple(data.label_columns or ()),
    )


def choose_columns(found: Sequence[str], wanted: Columns, where: str) -> tuple[Columns, tuple[str, ...]]:
    """The columns to read, and a note when they were found by their names.

    Raises: DataError when a column is missing, double, or has two meanings.
    """
    text = _named(found, wanted.text, "data.text_column", where)
    label = _named(found, wanted.label, "data.label_column", where)
    pair = _named(found, wanted.pair, "data.text_pair_column", where)
    flags = tuple(_named(found, flag, "data.label_columns", where) or "" for flag in wanted.flags)
    text = text or _detected(found, _TEXT_NAMES, "data.text_column", where, taken=(label, pair, *flags))
    if not flags and not wanted.unlabelled:
        label = label or _detected(found, _LABEL_NAMES, "data.label_column", where, taken=(text, pair))
    _check_apart({"data.text_column": text, "data.text_pair_column": pair, "data.label_column": label}, flags, where)
    for name in (text, label, pair, *flags):
        if name is not None and found.count(name) > 1:
            raise DataError(f"two columns are called {name!r}", where=where, hint="rename one of them")
    told = wanted.text is not None and (wanted.label is not None or bool(flags))
    note = f"columns found by name: text {text!r}" + ("" if flags or label is None else f", label {label!r}")
    return Columns(text, label, pair, wanted.separator, flags, wanted.unlabelled), () if told else (note,)


def _check_apart(chosen: Mapping[str, str | None], flags: Sequence[str], where: str) -> None:
    meanings: dict[str, str] = {}
    for key, name in [*chosen.items(), *(("data.label_columns", flag) for flag in flags)]:
        if name is None:
            continue
        if name in meanings:
            one, other = (key_of.removeprefix("data.").removesuffix("_column") for key_of in (meanings[name], key))
            raise DataError(
                f"{one} and {other} are both column {name!r}, expected a column each",
                where=where,
                hint=f"set {meanings[name]} and {key}",
            )
        meanings[name] = key


def _named(found: Sequence[str], name: str | None, key: str, where: str) -> str | None:
    if name is None or name in found:
        return name
    near = did_you_mean(name, found)
    raise DataError(
        f"no column {name!r}; the columns are {_listed(found)}",
        where=where,
        hint=f"{near} {key} names the column".strip(),
    )


def _detected(found: Sequence[str], usual: Sequence[str], key: str, where: str, *, taken: Sequence[str | None]) -> str:
    by_folded = {name.casefold(): name for name in reversed(found) if name not in taken}
    for name in usual:
        if name in by_folded:
            return by_folded[name]
    what = key.removeprefix("data.").removesuffix("_column")
    others = [name for name in found if name not in taken and not (usual is _TEXT_NAMES and _has(name, _LABEL_NAMES))]
    likely = next((name for part in usual for name in others if _has(name, [part])), "NAME")
    raise DataError(
        f"no {what} column found; the columns are {_listed(found)}",
        where=where,
        hint=f"name it, such as {key}: {likely}",
    )


def _has(name: str, parts: Iterable[str]) -> bool:
    return any(part in name.casefold() for part in parts)


def _listed(found: Sequence[str]) -> str:
    shown = [repr(name) for name in found[:30]]
    more = f" and {len(found) - 30} more" if len(found) > 30 else ""
    return (", ".join(shown) + more) or "none"
