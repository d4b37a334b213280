"""What the rounds say: ratios with their spread, shares of the limit, tables for people and JSON for machines.

Neighbours: ``schedule`` brings the rounds, ``training`` prints.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune30.bench.schedule import Seen

# 2 for the forward pass and 2 for the gradients of the activations: the base is frozen.
_FLOP_PER_PARAMETER_AND_TOKEN = 4


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of some rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def shown(self, digits: int) -> str:
        """``median (low-high)``."""
        return f"{self.median:,.{digits}f} ({self.low:,.{digits}f}-{self.high:,.{digits}f})"


def ratio(ours: Seen, peer: Seen) -> Spread:
    """Tokens per second of ours over the peer's, round by round."""
    return Spread.of([a / b for a, b in zip(ours.tokens_per_s, peer.tokens_per_s, strict=True)])


def mfu(seen: Seen, flop_per_token: float) -> Spread:
    """Share of the machine's limit, round by round."""
    return Spread.of([t * flop_per_token / r for t, r in zip(seen.tokens_per_s, seen.rates, strict=True)])


def table(seen: Sequence[Seen], flop_per_token: float) -> list[str]:
    """One line a contender, in Markdown; ratios are ours over it, in its own precision where we have one."""
    lines = [
        "| recipe | adapter | real tokens/s | texts/s | MFU | peak MiB | ours over it | ours float32 over it |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in seen:
        ours = {other.contender.recipe: other for other in seen if other.contender.adapter == row.contender.adapter}
        ratios = [
            ratio(ours[name], row).shown(2) if name in ours and not row.contender.recipe.startswith("ours") else ""
            for name in ("ours", "ours-float32")
        ]
        lines.append(
            f"| {row.contender.recipe} | {row.contender.adapter} | {Spread.of(row.tokens_per_s).shown(0)} "
            f"| {Spread.of(row.samples_per_s).shown(0)} | {mfu(row, flop_per_token).shown(2)} "
            f"| {row.peak_bytes / 2**20:,.0f} | {ratios[0]} | {ratios[1]} |"
        )
    return lines


def figures(seen: Sequence[Seen], flop_per_token: float) -> list[dict[str, Any]]:
    """Everything that was measured, for a file."""
    return [
        {
            "recipe": row.contender.recipe,
            "adapter": row.contender.adapter,
            "tokens_per_s": row.tokens_per_s,
            "samples_per_s": row.samples_per_s,
            "flop_per_s_limit": row.rates,
            "mfu": mfu(row, flop_per_token).median,
            "peak_bytes": row.peak_bytes,
            "over_peers": {
                peer.contender.recipe: ratio(row, peer).median
                for peer in seen
                if peer.contender.adapter == row.contender.adapter and peer is not row
            },
        }
        for row in seen
    ]


def accuracies(seen: dict[str, dict[str, list[float]]]) -> list[str]:
    """Dataset -> recipe -> accuracy by seed, as a Markdown table of means."""
    lines = ["| data | recipe | accuracy by seed | mean |", "|---|---|---|---|"]
    for dataset, recipes in seen.items():
        for recipe, values in recipes.items():
            each = ", ".join(f"{value:.4f}" for value in values)
            lines.append(f"| {dataset} | {recipe} | {each} | {statistics.fmean(values):.4f} |")
    return lines


def flop_per_token(shapes: Mapping[tuple[int, int], int], layers: int) -> float:
    """Arithmetic of training one token with a frozen base; adapters, attention and norms are not counted.

    Source: PaLM, Chowdhery et al. 2022, arXiv:2204.02311, appendix B, less the gradients of the weights.
    """
    parameters = sum(out * size * count for (out, size), count in shapes.items()) * layers
    return float(_FLOP_PER_PARAMETER_AND_TOKEN * parameters)
