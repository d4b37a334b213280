"""Strict reading of a YAML file: one mapping, in plain UTF-8, and nothing that YAML hides.

Anchors, aliases, merge keys, tags, several documents, tabs, deep or huge files are refused
before anything is built from them; a key given twice is a fault. Only regular files are
opened, so a pipe or a device never makes us wait. Every key remembers its line.
Neighbours: scalars gives values to words, layers makes a configuration of what is read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import yaml

from finetune30.config.faults import Fault, Place, path_shown, printable
from finetune30.config.scalars import plain
from finetune30.errors import ConfigError

LARGEST_BYTES = 256 * 1024
DEEPEST = 32


@dataclass(frozen=True)
class Document:
    """A file's mapping, with the line of every key by its path, and the keys given twice."""

    source: str
    values: dict[str, object]
    lines: dict[tuple[str, ...], int]
    faults: tuple[Fault, ...] = ()


def read_file(path: Path) -> Document:
    """The mapping in a YAML file.

    Raises: ConfigError with file and line for anything but a strict YAML mapping in a regular file.
    """
    return read_text(_decoded(_bytes(path), path_shown(path)), path_shown(path))


def read_text(text: str, source: str) -> Document:
    """The mapping in YAML text; ``source`` names it in errors. An empty text is an empty mapping.

    Raises: ConfigError.
    """
    tab = text.find("\t")
    if tab >= 0:
        _refuse(source, text.count("\n", 0, tab) + 1, "has a tab character, expected spaces")
    builder = _Builder(source, yaml.parse(text, Loader=yaml.SafeLoader))
    try:
        value = builder.document()
    except yaml.MarkedYAMLError as cause:
        mark = cause.problem_mark or cause.context_mark
        problem = printable(cause.problem or cause.context or "cannot be read")
        _refuse(source, mark.line + 1 if mark else None, f"is not valid YAML: {problem}", cause=cause)
    except yaml.reader.ReaderError as cause:
        _refuse(
            source,
            text.count("\n", 0, cause.position) + 1,
            "has a control character, expected text",
            cause=cause,
        )
    if value is None:
        value = {}
    if not isinstance(value, dict):
        _refuse(source, 1, "is not a mapping, expected keys such as: experiment_name: my-run")
    return Document(source, value, builder.lines, tuple(builder.faults))


def _bytes(path: Path) -> bytes:
    name = path_shown(path)
    if str(path).startswith(("http:/", "https:/")):
        raise ConfigError("is a URL, expected a file", where=name, hint="download it first")
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as cause:
        dangling = path.is_symlink()
        raise ConfigError(
            "is a link to a file that does not exist" if dangling else "does not exist",
            where=name,
            hint="give the path of a YAML file, such as config/default.yaml",
        ) from cause
    except (OSError, ValueError) as cause:  # ValueError: a NUL in the path
        reason = os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else str(cause)
        raise ConfigError(f"cannot be opened: {reason}", where=name, hint="give a readable YAML file") from cause
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
            raise ConfigError(f"is {kind}, expected a YAML file", where=name)
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(LARGEST_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > LARGEST_BYTES:
        raise ConfigError(f"is larger than {LARGEST_BYTES // 1024} KiB, expected a configuration", where=name)
    return content


def _decoded(content: bytes, source: str) -> str:
    if content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        kind = "with a byte order mark" if content.startswith(b"\xef") else "as UTF-16"
        _refuse(
            source,
            1,
            f"is saved {kind}, expected UTF-8 without one",
            hint="choose plain UTF-8 in your editor",
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as cause:
        line = content.count(b"\n", 0, cause.start) + 1
        _refuse(source, line, "is not UTF-8 text", hint="save it as UTF-8 in your editor", cause=cause)


def _refuse(
    source: str, line: int | None, text: str, *, hint: str | None = None, cause: Exception | None = None
) -> NoReturn:
    raise ConfigError(text, where=f"{path_shown(source)}{f', line {line}' if line else ''}", hint=hint) from cause


@dataclass
class _Builder:
    """Builds values from YAML's events, and refuses an event as soon as it is seen."""

    source: str
    events: Iterator[yaml.Event]
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def document(self) -> object:
        next(self.events)  # the stream begins
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return None
        value = self.node(next(self.events), (), 1)
        next(self.events)  # the document ends
        following = next(self.events)
        if not isinstance(following, yaml.StreamEndEvent):
            self.refuse(following, "begins a second document, expected one")
        return value

    def node(self, event: yaml.Event, path: tuple[str, ...], depth: int) -> object:
        self.check(event, depth)
        if isinstance(event, yaml.ScalarEvent):
            return plain(event.value) if event.style is None else event.value
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(following := next(self.events), yaml.SequenceEndEvent):
                items.append(self.node(following, path, depth + 1))
            return items
        return self.mapping(path, depth)

    def mapping(self, path: tuple[str, ...], depth: int) -> dict[str, object]:
        values: dict[str, object] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.key(event, depth)
            here = (*path, key)
            value = self.node(next(self.events), here, depth + 1)
            if key in values:
                text = f"is given twice (first on line {self.lines[here]}), expected once"
                self.faults.append(Fault(".".join(map(printable, here)), text, Place(self.source, _line(event))))
            else:
                values[key] = value
                self.lines[here] = _line(event)
        return values

    def key(self, event: yaml.Event, depth: int) -> str:
        self.check(event, depth)
        if not isinstance(event, yaml.ScalarEvent):
            self.refuse(event, "has a list or a mapping as a key, expected a word")
        if event.value == "<<" and event.style is None:
            self.refuse(event, "has a merge key (<<), which is not read; write the keys out, or use extends")
        # A key is always text: labels may be named 0, 1, yes or no.
        return event.value

    def check(self, event: yaml.Event, depth: int) -> None:
        if isinstance(event, yaml.AliasEvent):
            self.refuse(
                event,
                f"has an alias (*{printable(event.anchor or '')}), which is not read; write the value out",
            )
        if getattr(event, "anchor", None) is not None:
            self.refuse(event, "has an anchor (&), which is not read; write the value out")
        if getattr(event, "tag", None) is not None:
            self.refuse(event, "has a tag (!), which is not read; write the plain value")
        if depth > DEEPEST:
            self.refuse(event, f"is nested deeper than {DEEPEST} levels")

    def refuse(self, event: yaml.Event, text: str) -> NoReturn:
        _refuse(self.source, _line(event), text)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
