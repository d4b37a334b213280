"""``finetune30 bench training``: our training beside stock Trainer and PEFT, on real data where it is at hand.

Neighbours: ``schedule`` interleaves, ``report`` shows; the command line calls ``run``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune30.bench.report import accuracies, figures, flop_per_token, table
from finetune30.bench.schedule import Contender, Process, Seen, interleave
from finetune30.config import from_mapping
from finetune30.errors import ConfigError
from finetune30.monitoring import environment_report

# The builtin base, and rows of its products in a batch of 32 sentences.
_SHAPES = [[384, 384, 4], [1536, 384, 1], [384, 1536, 1]]
_LAYERS = 6
_TOKENS = 752
_ADAPTERS = {"query-value": None, "all-linear": "all-linear"}
# Steps of a round: about as many seconds for the slow as for the fast.
_STEPS = {"seed": 45, "guide": 25, "stock": 45, "stock-float32": 30, "ours": 105, "ours-float32": 65}
_ACCURACY = {"sst2_sent": ("validation", 3), "banking77": ("test", 5)}


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        seeds: Of the accuracy comparison; 0 leaves it out.
    """

    rounds: int
    adapters: tuple[str, ...]
    recipes: tuple[str, ...]
    seeds: int
    share_of_steps: float = 1.0


FULL = Effort(5, tuple(_ADAPTERS), tuple(_STEPS), 3)
QUICK = Effort(2, ("query-value",), ("guide", "stock", "ours", "ours-float32"), 0, 0.5)


def run(effort: Effort, device: str, tell: Callable[[str], None], *, profile: bool = False) -> dict[str, Any]:
    """Measure, print tables, and return every figure with machine and versions."""
    from_mapping({"training": {"device": device}}, where="--device")
    data = _data()
    tell(f"data: {data}")
    contenders = [
        Contender(
            recipe,
            adapter,
            _config(data, adapter, device),
            "float32" if recipe in ("seed", "guide") or recipe.endswith("float32") else "bfloat16",
            max(15, int(_STEPS[recipe] * effort.share_of_steps)),
        )
        for adapter in effort.adapters
        for recipe in effort.recipes
    ]

    def rate(process: Process, precision: str) -> float:
        answer = process.ask("rate", shapes=_SHAPES, tokens=_TOKENS, precision=precision, device=_torch_device(device))
        return float(answer["rate"])

    profiled = effort.recipes if profile else ()
    seen = interleave(contenders, effort.rounds, rate, tell, profiled=profiled)
    per_token = flop_per_token({(out, size): n for out, size, n in _SHAPES}, _LAYERS)
    for line in ["", *table(seen, per_token), "", *_notes(seen, per_token)]:
        tell(line)
    for row in seen:
        if row.profile:
            tell(f"\n{row.contender.recipe}, {row.contender.adapter}:\n{row.profile}")
    scored = _accuracies(effort, device, tell)
    return {
        "data": Path(data).name,
        "rounds": figures(seen, per_token),
        "accuracy": scored,
        "environment": environment_report(),
    }


def _notes(seen: list[Seen], per_token: float) -> list[str]:
    limits: dict[str, list[float]] = {row.contender.precision: [] for row in seen}
    for row in seen:
        limits[row.contender.precision] += row.rates
    shown = ", ".join(f"{sum(r) / len(r) / 1e9:,.0f} GFLOP/s in {precision}" for precision, r in limits.items())
    return [
        f"MFU: real tokens/s x {per_token / 1e6:.1f} MFLOP over torch.nn.functional.linear at these shapes: {shown}.",
        "What is not computed at all (the last layer beyond the first token, gradients nobody reads) counts as done.",
    ]


def _accuracies(effort: Effort, device: str, tell: Callable[[str], None]) -> dict[str, dict[str, list[float]]]:
    folder = _real_data()
    if not effort.seeds:
        return {}
    if folder is None:
        tell(f"accuracy left out: it needs {' and '.join(_ACCURACY)}, in the folder FINETUNE30_DATA names")
        return {}
    found: dict[str, dict[str, list[float]]] = {}
    for dataset, (split, epochs) in _ACCURACY.items():
        for seed in range(42, 42 + effort.seeds):
            for recipe in ("stock-float32", "ours"):
                config = _config(str(folder / dataset), "all-linear", device)
                config = {**config, "seed": seed}
                config["training"] = {**config["training"], "num_train_epochs": epochs}
                with closing(Process()) as process:
                    answer = process.ask("accuracy", recipe=recipe, config=config, split=split)
                found.setdefault(dataset, {}).setdefault(recipe, []).append(answer["accuracy"])
                tell(f"{dataset}, seed {seed}, {recipe}: accuracy {answer['accuracy']:.4f}")
    for line in ["", *accuracies(found)]:
        tell(line)
    return found


def _config(data: str, adapter: str, device: str) -> dict[str, Any]:
    return {
        "lora": {"target_modules": _ADAPTERS[adapter]},
        "data": {"dataset_name": data},
        "training": {"device": device},
    }


def _real_data() -> Path | None:
    """The folder of real datasets: where ``FINETUNE30_DATA`` says, or beside the project; None if there is none.

    Raises: ConfigError if the variable names a folder that does not hold them.
    """
    named = os.environ.get("FINETUNE30_DATA")
    folder = Path(named) if named else Path("..") / "shared" / "data"
    missing = [name for name in _ACCURACY if not (folder / name).is_dir()]
    if named and missing:
        raise ConfigError(
            f"has no folder {missing[0]}",
            where=f"FINETUNE30_DATA={named}",
            hint="unset it, and builtin:reviews is used",
        )
    return None if missing else folder


def _data() -> str:
    folder = _real_data()
    return str(folder / "sst2_sent") if folder is not None else "builtin:reviews"


def _torch_device(device: str) -> str:
    return "cuda:0" if device == "cuda" else device
