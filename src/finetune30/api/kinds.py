"""What a file is that somebody sends: by its name, by the type of the request, and by its first bytes.

Neighbours: ``receiving`` asks before it keeps anything; ``data.reading.opening`` knows what is read.
"""

from __future__ import annotations

from collections.abc import Collection

from finetune30.errors import Finetune30Error
from finetune30.web.problems import Problem

FORM = "multipart/form-data"
_BY_TYPE = {
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/jsonl": "jsonl",
    "application/x-ndjson": "jsonl",
    "application/vnd.apache.parquet": "parquet",
}
_NAMED = frozenset({"application/octet-stream", "application/gzip", "application/zip", "application/x-tar"})
TYPES = (FORM, *_BY_TYPE, *sorted(_NAMED))
_LONGEST_NAME = 255


def format_of(name: str, kind: str, formats: Collection[str] | None) -> str:
    """What the file is: its name's ending says it, else the type of the request.

    Raises: Problem 422 for a name nobody can show, and for what we do not read.
    """
    from finetune30.data.reading.opening import check_name

    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise Problem(
            422, "name_invalid", f"expected a name of 1 to {_LONGEST_NAME} printable characters", where="name"
        )
    last = name.replace("\\", "/").rpartition("/")[2]
    if kind in _BY_TYPE and "." not in last:
        last = f"{last}.{_BY_TYPE[kind]}"
    try:
        form = check_name(last, shown="the file")
    except Finetune30Error as fault:
        raise Problem(422, fault.code, _read_by_us(), where="name", hint=fault.hint) from None
    found = f"{form.ending}{form.compressed or ''}"[1:]
    if formats is not None and found not in formats:
        raise Problem(422, "data_invalid", f"expected a file that ends in .{', .'.join(formats)}", where="name")
    return found


def _read_by_us() -> str:
    return "expected a .csv, .tsv, .jsonl or .parquet file, or an archive of them; pickles are never read"


def check_start(part: bytes, form: str) -> None:
    """Refuse at the first bytes what is not what its name says.

    Raises: Problem 422.
    """
    from finetune30.data.reading.opening import ARCHIVES, START_BYTES, check_content, check_name, check_packed

    named = check_name(f"data.{form}", shown="the file")
    start = part[:START_BYTES]
    try:
        if named.compressed or named.ending in ARCHIVES:
            check_packed(start, named, shown="the file")
        else:
            check_content(start, named.ending, shown="the file")
    except Finetune30Error as fault:
        raise Problem(422, fault.code, fault.message, where="file", hint=fault.hint) from None
