"""Cost against work: rows, length, rank. What should grow in proportion does; memory does not grow with the rows.

Every point is a process of its own, so that its peak memory is its own. Texts are those of SST-2
where they are at hand, else of the built-in reviews, repeated.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROWS = (1_000, 10_000, 67_000)
LENGTHS = (16, 32, 64, 128, 256, 512)
RANKS = (4, 8, 16, 32, 64)
STEPS = 40


def measure() -> dict[str, list[dict[str, float]]]:
    """A table for each kind of work."""
    found: dict[str, list[dict[str, float]]] = {}
    for kind, values in (("rows", ROWS), ("length", LENGTHS), ("rank", RANKS)):
        found[kind] = [_point({"kind": kind, "value": value}) for value in values]
        print(f"| {kind} | reading s | training s | tokens/s | seconds per 1,000 texts | peak MiB |")
        print("|---|---|---|---|---|---|")
        for value, point in zip(values, found[kind], strict=True):
            print(
                f"| {value:,} | {point['reading_s']:.1f} | {point['training_s']:.1f} | {point['tokens_per_s']:,.0f} "
                f"| {point['s_per_1000_texts']:.2f} | {point['peak_bytes'] / 2**20:,.0f} |",
                flush=True,
            )
    return found


def _point(request: dict[str, Any]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _texts(count: int, words: int | None) -> list[str]:
    """So many texts; of exactly so many words each if asked."""
    folder = Path(os.environ.get("FINETUNE30_DATA", "../shared/data")) / "sst2"
    if folder.is_dir():
        lines = (folder / "train.tsv").read_text(encoding="utf-8").splitlines()[1:]
        texts = [line.split("\t")[0] for line in lines]
    else:
        from finetune30 import data
        from finetune30.config import ExperimentConfig

        texts = list(data.load(ExperimentConfig()).train.texts)
    if words is None:
        return [texts[i % len(texts)] for i in range(count)]
    running = " ".join(texts[:2000]).split()
    return [" ".join(running[(i * words + j) % len(running)] for j in range(words)) for i in range(count)]


def _train(kind: str, value: int) -> dict[str, float]:
    from finetune30 import data, modeling
    from finetune30.config import from_mapping
    from finetune30.modeling import tokens
    from finetune30.training import fit

    count = value if kind == "rows" else 32 * STEPS
    # A word is more than a token: texts of as many words as tokens fill max_length.
    texts = _texts(count, value if kind == "length" else None)
    with tempfile.TemporaryDirectory() as folder:
        rows = [f"{text}\t{i % 2}" for i, text in enumerate(texts)]
        for split, part in (("train", rows), ("validation", rows[:100])):
            Path(folder, f"{split}.tsv").write_text("\n".join(["text\tlabel", *part]) + "\n", encoding="utf-8")
        config = from_mapping(
            {
                "data": {"dataset_name": folder, "max_length": value if kind == "length" else 128},
                "lora": {"r": value if kind == "rank" else 8, "lora_alpha": 16},
                "training": {
                    "num_train_epochs": 1,
                    "per_device_train_batch_size": 32,
                    "eval_strategy": "no",
                    "device": "cpu",
                },
            }
        )
        began = time.perf_counter()
        splits, base = data.load(config), modeling.inspect(config.model.name)
        tokens.encode(base.tokenizer, splits.train.texts, config.data.max_length, Path(folder, "tokens"))
        reading_s = time.perf_counter() - began
        trained = fit(
            base,
            splits,
            config,
            lambda _: None,
            artifacts=Path(folder, "artifacts"),
            compute=modeling.choose("cpu"),
            cache=Path(folder, "tokens"),
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "reading_s": reading_s,
        "training_s": trained.figures["runtime_s"],
        "tokens_per_s": trained.figures["tokens_per_s"],
        "s_per_1000_texts": trained.figures["runtime_s"] / count * 1000,
        "peak_bytes": peak,
    }


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    print(json.dumps(_train(asked["kind"], asked["value"])))
