"""Which files an adapter consists of, byte for byte.

Promises: ``seal`` is the last thing written into ``final_model/`` before it gets its name; from then on ``fault``
names the first file that changed, is missing or was added. The digest is of names, sizes and sha256 alone, so it
is the same wherever the folder lies.
Neighbours: the pipeline seals, ``models`` keeps what was sealed, who loads an adapter asks ``fault``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
# Without these nothing can be loaded.
NEEDED = ("adapter_config.json", "adapter_model.safetensors", "config.json")
_SHA256 = re.compile(r"[0-9a-f]{64}")

# Name -> {"bytes": size, "sha256": hash}.
Files = Mapping[str, Mapping[str, Any]]


def seal(folder: Path) -> None:
    """Write down what is in the folder."""
    (folder / MANIFEST).write_text(json.dumps({"files": files_in(folder)}, indent=1) + "\n", encoding="utf-8")


def files_in(folder: Path) -> dict[str, dict[str, Any]]:
    """What is there now, the manifest left out.

    Raises: OSError.
    """
    names = sorted(path.name for path in folder.iterdir() if path.name != MANIFEST)
    return {name: {"bytes": (folder / name).stat().st_size, "sha256": _sha256(folder / name)} for name in names}


def sealed(folder: Path) -> dict[str, dict[str, Any]] | None:
    """What was written down; None where nothing was: the folder is older than manifests.

    Raises: ValueError if it cannot be read.
    """
    try:
        said = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = {str(name): {"bytes": one["bytes"], "sha256": one["sha256"]} for name, one in said["files"].items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as cause:
        raise ValueError(f"{MANIFEST} cannot be read") from cause
    if not all(map(_is_entry, files.values())):
        raise ValueError(f"{MANIFEST} cannot be read")
    return files


def fault(folder: Path, files: Files) -> str | None:
    """What is not as ``files`` say, naming the file; None if all is."""
    try:
        there = {path.name for path in folder.iterdir()} - {MANIFEST}
        for name in NEEDED:
            if name not in files:
                return f"{name} is missing"
        if surplus := sorted(there - files.keys()):
            return f"{surplus[0]} is not in the manifest"
        for name, promised in sorted(files.items()):
            path = folder / name
            if name not in there or path.is_symlink() or not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != promised["bytes"]:
                return f"{name} has {path.stat().st_size} bytes, the manifest says {promised['bytes']}"
            if _sha256(path) != promised["sha256"]:
                return f"{name} has changed (sha256 differs)"
    except OSError as cause:
        return f"{Path(cause.filename or folder).name} cannot be read: {cause.strerror}"
    return None


def digest(files: Files) -> str:
    """sha256 of a manifest, whatever the order in which it names its files."""
    plain = {name: [one["bytes"], one["sha256"]] for name, one in files.items()}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _is_entry(one: Mapping[str, Any]) -> bool:
    size, sha256 = one["bytes"], one["sha256"]
    return isinstance(size, int) and isinstance(sha256, str) and bool(_SHA256.fullmatch(sha256))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
