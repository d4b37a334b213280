"""What the tests of compressed files and archives share: making them, and reading them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from finetune30.data.local import read_local
from finetune30.data.prepare import Found
from tests.data_cases import configured, jsonl

CSV = b"text,label\na,1\nb,0\n"
TSV = b"text\tlabel\nc\t1\n"
JSONL = jsonl({"text": "d", "label": 1}).encode()


def zstd(content: bytes) -> bytes:
    import pyarrow

    return bytes(pyarrow.compress(content, "zstd", asbytes=True))


PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd,
}


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return out.getvalue()


def tarred(files: Mapping[str, bytes], kind: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as made:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return out.getvalue()


def found(tmp_path: Path, name: str, content: bytes, **keys: object) -> Found:
    """What a file with this name and content is read as."""
    path = tmp_path / name
    path.write_bytes(content)
    return read_local(str(path), configured(path, **keys))


def texts(one: Found) -> dict[str, list[str]]:
    return {role: [*table.texts] for role, table in one.tables.items()}


ARCHIVE: dict[str, Callable[[Mapping[str, bytes]], bytes]] = {
    ".zip": zipped,
    ".tar": tarred,
    ".tar.gz": lambda files: gzip.compress(tarred(files)),
    ".tgz": lambda files: gzip.compress(tarred(files)),
    ".tar.bz2": lambda files: bz2.compress(tarred(files)),
    ".tar.xz": lambda files: lzma.compress(tarred(files)),
    ".tar.zst": lambda files: zstd(tarred(files)),
}
