"""A form with a file in it, as it comes: its fields, and the parts of the file one after the other.

The parsing is python-multipart's; here are the limits it leaves to its callers. Bytes are handed on at once,
so that nothing but a field's few characters is ever held.
Neighbours: ``receiving`` feeds it and stores what comes out.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from finetune30.web.problems import Problem

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_MOST_PARTS = 20
_LONGEST_FIELD = 1024
_LONGEST_START = 4096
_LONGEST_BOUNDARY = 70  # RFC 2046
# It writes bytes of the body into its warnings.
_LOG = logging.getLogger("python_multipart")
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False


class Form:
    """What was found so far.

    Attributes:
        fields: Name and value of each field that is no file.
        filename: Of the file; None until its part begins.
        ended: The last boundary has come.
    """

    def __init__(self, content_type: str) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not 0 < len(boundary) <= _LONGEST_BOUNDARY:
            raise malformed("the form names no boundary, or none that is allowed")
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.ended = False
        self._parts = 0
        self._before = 0
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._field: str | None = None
        self._text = b""
        self._found: list[bytes] = []
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begun,
            "on_part_data": self._data,
            "on_part_end": self._part_ended,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_ended,
            "on_headers_finished": self._headers_ended,
            "on_end": self._all_ended,
        }
        self._parser = MultipartParser(boundary, callbacks)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Parts of the file that are in this chunk of the body.

        Raises: Problem 400, 413.
        """
        if self.ended:
            self._before += len(chunk)
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise malformed("the form is malformed") from None
        if not self._parts:
            self._before += len(chunk)
        if self._before > _LONGEST_START:
            raise malformed("the form has too much before its first part, or after its last one")
        found, self._found = self._found, []
        return found

    def _begun(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise Problem(413, "too_large", f"the form has more than {_MOST_PARTS} parts")
        self._headers, self._field, self._text = {}, None, b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ended(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _headers_ended(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = _text(options.get(b"name", b""))
        if kind != b"form-data" or not name:
            raise malformed("a part of the form has no name")
        if b"filename" in options:
            if name != "file" or self.filename is not None:
                raise Problem(422, "form_invalid", "expected one file, in the field file", where="form.file")
            self.filename = _text(options[b"filename"])
        elif name in self.fields:
            raise Problem(422, "form_invalid", "a field is given more than once", where="form")
        else:
            self._field = name

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self._found.append(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > _LONGEST_FIELD:
            raise Problem(413, "too_large", f"a field of the form is longer than {_LONGEST_FIELD} bytes", where="form")

    def _part_ended(self) -> None:
        if self._field is not None:
            self.fields[self._field] = _text(self._text)
            self._field = None

    def _all_ended(self) -> None:
        self.ended = True


def malformed(detail: str) -> Problem:
    """The form cannot be read."""
    return Problem(400, "form_invalid", detail, where="form", hint="for example: curl -F file=@train.csv")


def _text(found: bytes) -> str:
    try:
        return found.decode("utf-8")
    except UnicodeDecodeError:
        raise Problem(422, "form_invalid", "a name or a field of the form is not UTF-8", where="form") from None
