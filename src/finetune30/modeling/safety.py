"""What a model folder may hold before any library opens it.

``trust_remote_code=False`` and ``weights_only=True`` have both been bypassed in the past
(docs/adr/0003), so we look first, with nothing but a JSON parser: code, pickled weights and
references to other models are refused by file. Neighbours: ``source`` finds the folder,
``base`` and ``lora`` load from it. No torch here.
"""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from finetune30.errors import ModelError

_CODE_KEYS = {"auto_map", "trust_remote_code", "custom_pipelines", "parent_library"}
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".msgpack", ".h5")
_MAX_JSON_BYTES = 64 << 20  # tokenizer.json of a large vocabulary is about 20 MB
_MAX_DEPTH = 32
_MAX_HEADER_BYTES = 100 << 20  # the limit of the safetensors format itself


def check_model_folder(folder: Path) -> None:
    """Refuse a base model that wants code, pickles, or files outside its folder.

    Raises: ModelError naming the file and what is wrong with it.
    """
    config = read_json(folder / "config.json")
    _refuse_code(config, folder / "config.json")
    for extra in ("tokenizer_config.json",):
        if (folder / extra).exists():
            _refuse_code(read_json(folder / extra), folder / extra)
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"{folder.name} holds adapter_config.json, which transformers would attach in silence",
            where=str(folder / "adapter_config.json"),
            hint="give the base model itself; an adapter is not a base",
        )
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").exists():
        check_safetensors_header(folder / "model.safetensors")
    elif index.exists():
        _check_shards(index)
    else:
        pickled = sorted(p.name for p in folder.iterdir() if p.suffix in _PICKLES)
        found = f"only pickled weights ({', '.join(pickled)})" if pickled else "no weights"
        raise ModelError(
            f"{folder.name} has {found}; expected model.safetensors",
            where=str(folder),
            hint="pickles can run code. Convert once, where you trust the file: "
            "model.save_pretrained(folder) of transformers writes safetensors",
        )


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object from a regular file of sane size and depth.

    Raises: ModelError for anything else.
    """
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise ModelError(f"{path.name} is not a regular file", where=str(path))
        if info.st_size > _MAX_JSON_BYTES:
            raise ModelError(f"{path.name} is {info.st_size} bytes; at most {_MAX_JSON_BYTES}", where=str(path))
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as cause:
        raise ModelError(f"{path.name} cannot be read as JSON: {cause}", where=str(path)) from cause
    if not isinstance(value, dict):
        raise ModelError(f"{path.name} holds a {type(value).__name__}, expected an object", where=str(path))
    return value


def check_safetensors_header(path: Path) -> dict[str, Any]:
    """The tensor table of a safetensors file, after checking it against the file's length.

    Returns: name -> {dtype, shape, data_offsets}, without ``__metadata__``.
    Raises: ModelError for a truncated file, an absurd header, or overlapping tensors.
    Source: the safetensors format (8 bytes little-endian length, JSON, data).
    """
    size = path.stat().st_size if path.is_file() else -1
    with path.open("rb") if size >= 8 else _not_safetensors(path) as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, _MAX_HEADER_BYTES):
            raise ModelError(f"{path.name}: the header claims {length} bytes of {size}", where=str(path))
        try:
            table = json.loads(file.read(length))
        except (ValueError, RecursionError) as cause:
            raise ModelError(f"{path.name}: the header is not JSON", where=str(path)) from cause
    if not isinstance(table, dict):
        raise ModelError(f"{path.name}: the header is not an object", where=str(path))
    table.pop("__metadata__", None)
    _check_offsets(path, table, size - 8 - length)
    return table


def _check_offsets(path: Path, table: dict[str, Any], data_bytes: int) -> None:
    end_of_last = 0
    try:
        spans = sorted(tuple(entry["data_offsets"]) for entry in table.values())
        for begin, end in spans:
            if begin != end_of_last or end < begin:
                raise ModelError(f"{path.name}: tensors overlap or leave gaps at byte {begin}", where=str(path))
            end_of_last = end
    except (KeyError, TypeError, ValueError) as cause:
        raise ModelError(f"{path.name}: the header's tensor table is malformed", where=str(path)) from cause
    if end_of_last != data_bytes:
        raise ModelError(
            f"{path.name} is truncated or padded: {data_bytes} data bytes, the header needs {end_of_last}",
            where=str(path),
            hint="copy or download the file again",
        )


def _not_safetensors(path: Path) -> Any:
    raise ModelError(f"{path.name} is not a safetensors file", where=str(path))


def _refuse_code(value: Any, path: Path, depth: int = 0) -> None:
    if depth > _MAX_DEPTH:
        raise ModelError(f"{path.name} is nested deeper than {_MAX_DEPTH}", where=str(path))
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in _CODE_KEYS and inner not in (None, False, {}, []):
                raise ModelError(
                    f"remote code not allowed: {path.name} has {key!r}",
                    where=str(path),
                    hint="use a model of an architecture that transformers itself contains",
                )
            _refuse_code(inner, path, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _refuse_code(inner, path, depth + 1)


def _check_shards(index: Path) -> None:
    """A sharded model's index may name files of its own folder only (CVE-2026-69112)."""
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ModelError(f"{index.name} has no weight_map", where=str(index))
    for shard in sorted({str(s) for s in shards.values()}):
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise ModelError(f"{index.name} names {shard!r}, outside its own folder", where=str(index))
        if not (index.parent / shard).is_file():
            raise ModelError(f"{index.name} names {shard!r}, which is not there", where=str(index))
        check_safetensors_header(index.parent / shard)
