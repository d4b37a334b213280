"""Optimizer, scheduler and random states as safetensors and JSON.

A checkpoint holds no pickle, so there is nothing in it that could run code, whatever a file
was replaced with. Nested dicts and lists become JSON; tensors inside them become named
entries of a safetensors file. Neighbours: ``trainer`` calls, ``checkpoints`` keeps the files.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from finetune30.training.peers import Peers

_TENSOR = "__tensor__"
_TUPLE = "__tuple__"
_INT_KEYS = "__int_keys__"


def save_state(value: Any, path: Path) -> None:
    """Write a state dict as ``path.json`` and, if it holds tensors, ``path.safetensors``.

    Raises: TypeError for a value that is neither plain data nor a tensor.
    """
    tensors: dict[str, torch.Tensor] = {}
    tree = _pack(value, "", tensors)
    path.with_suffix(".json").write_text(json.dumps(tree), encoding="utf-8")
    if tensors:
        save_file(
            {name: t.detach().cpu().contiguous() for name, t in tensors.items()},
            path.with_suffix(".safetensors"),
        )


def load_state(path: Path) -> Any:
    """What ``save_state`` wrote; tensors on the CPU."""
    tree = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    file = path.with_suffix(".safetensors")
    return _unpack(tree, load_file(file) if file.exists() else {})


def random_states(device: str) -> dict[str, Any]:
    """The generators training draws from: Python, NumPy, torch and, if used, the accelerator's."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    states: dict[str, Any] = {
        "python": [version, list(words), gauss],
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
    }
    if device.startswith("cuda"):
        states["cuda"] = torch.cuda.get_rng_state(device)
    elif device == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_random_states(states: dict[str, Any], device: str) -> None:
    """Put the generators back where ``random_states`` found them."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])
    if device.startswith("cuda") and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    elif device == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])


def gather_generators(peers: Peers, device: str) -> list[dict[str, torch.Tensor]]:
    """What each process's dropout draws from, in their order; empty for a process that is alone."""
    if peers.size == 1:
        return []
    names = ["torch", *(["cuda"] if device.startswith("cuda") else [])]
    own = {"torch": torch.get_rng_state()}
    if "cuda" in names:
        own["cuda"] = torch.cuda.get_rng_state(device)
    gathered = [peers.gather(own[name]) for name in names]
    return [dict(zip(names, states, strict=True)) for states in zip(*gathered, strict=True)]


def save_generators(drawn: list[dict[str, torch.Tensor]], folder: Path, device: str) -> None:
    """Write the random states of this process, which is the first, and those that others gave it."""
    save_state(random_states(device), folder / "rng_state")
    for rank, states in enumerate(drawn[1:], start=1):
        save_state(states, folder / f"rng_state_{rank}")


def load_generators(folder: Path, peers: Peers, device: str) -> bool:
    """Put this process's random states back; False if the checkpoint was written by fewer processes."""
    if peers.first:
        set_random_states(load_state(folder / "rng_state"), device)
        return True
    own = folder / f"rng_state_{peers.rank}"
    if not own.with_suffix(".json").exists():
        return False
    states = load_state(own)
    torch.set_rng_state(states["torch"])
    if device.startswith("cuda") and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    return True


def seed_generators(seed: int, rank: int, step: int = 0) -> None:
    """Let a process draw dropout masks of its own, from a step on: equal masks would be one mask."""
    torch.manual_seed(int(np.random.SeedSequence([seed, rank, step]).generate_state(1, np.uint64)[0] >> 1))


def _pack(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        tensors[name] = value
        return {_TENSOR: name}
    if isinstance(value, dict):
        packed = {str(k): _pack(v, f"{name}/{k}", tensors) for k, v in value.items()}
        return {_INT_KEYS: packed} if value and all(isinstance(k, int) for k in value) else packed
    if isinstance(value, list | tuple):
        items = [_pack(v, f"{name}/{i}", tensors) for i, v in enumerate(value)]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"cannot store a {type(value).__name__} at {name} without pickle")


def _unpack(tree: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(tree, dict):
        if _TENSOR in tree:
            return tensors[tree[_TENSOR]]
        if _TUPLE in tree:
            return tuple(_unpack(v, tensors) for v in tree[_TUPLE])
        if _INT_KEYS in tree:
            return {int(k): _unpack(v, tensors) for k, v in tree[_INT_KEYS].items()}
        return {k: _unpack(v, tensors) for k, v in tree.items()}
    if isinstance(tree, list):
        return [_unpack(v, tensors) for v in tree]
    return tree
