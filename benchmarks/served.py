"""What the servers serve: one trained adapter, the same merged into its base, and copies that differ a little.

Neighbours: ``servers`` get the folders, ``serving`` asks.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.servers import surroundings

ROOT = Path(__file__).parents[1]


def trained(home: Path) -> tuple[str, list[str]]:
    """The id of a short run, and the texts it was evaluated on."""
    from pyarrow import parquet

    command = [sys.executable, "-m", "finetune30", "train", str(ROOT / "config" / "default.yaml"), "--epochs", "1"]
    subprocess.run(command, cwd=home, env=surroundings(home), check=True)
    store = opened(home)
    run_id = store.newest().id
    store.close()
    table = parquet.read_table(next((home / "data" / "datasets").rglob("validation.parquet")))
    return run_id, [str(text) for text in table.column("text").to_pylist()]


def merged(home: Path, run_id: str) -> Path:
    """The adapter in its base, as transformers saves it."""
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    from finetune30.modeling.source import locate

    adapter, folder = home / "results" / run_id / "artifacts" / "final_model", home / "merged"
    config = AutoConfig.from_pretrained(adapter)
    base = AutoModelForSequenceClassification.from_pretrained(
        locate("builtin:minilm").folder, config=config, ignore_mismatched_sizes=True
    )
    PeftModel.from_pretrained(base, adapter).merge_and_unload().save_pretrained(folder)
    AutoTokenizer.from_pretrained(adapter).save_pretrained(folder)
    return folder


def copies(home: Path, run_id: str, count: int) -> list[str]:
    """Ids of further runs, each with the same adapter but for noise of a hundredth of each number.

    Of the numbers, not of one: noise as large as ``lora_B`` itself would make adapters that were never trained, whose
    answers hang on the last bits, and many of those are computed in float32.
    """
    import torch
    from safetensors.torch import load_file, save_file

    from finetune30.config import load as load_config
    from finetune30.experiments import ExperimentFolder, Status
    from finetune30.registry import seal

    store, config = opened(home), load_config(ROOT / "config" / "default.yaml")
    made = []
    for number in range(count):
        one = store.create(config, owner="bench", tz="UTC").id
        attempt = store.claim(one, "bench")
        folder = ExperimentFolder.create(home / "results", one).final_model
        shutil.copytree(home / "results" / run_id / "artifacts" / "final_model", folder)
        (folder / "manifest.json").unlink(missing_ok=True)
        weights = load_file(folder / "adapter_model.safetensors")
        torch.manual_seed(number)
        noisy = {name: tensor * (1 + 0.01 * torch.randn_like(tensor)) for name, tensor in weights.items()}
        save_file(noisy, folder / "adapter_model.safetensors")
        seal(folder)
        store.finish(one, attempt, "bench", Status.SUCCESS, metrics={"eval": {"accuracy": 0.5}})
        made.append(one)
    store.close()
    return made


def adapter_bytes(home: Path, runs: list[str]) -> int:
    """Of the adapters' files of these runs."""
    folders = [home / "results" / run / "artifacts" / "final_model" for run in runs]
    return sum((folder / "adapter_model.safetensors").stat().st_size for folder in folders)


def opened(home: Path) -> Any:
    """The store of this folder; whoever opens it closes it."""
    from finetune30.experiments import open_store
    from finetune30.settings import Settings

    settings = Settings(_env_file=None, results_dir=home / "results", data_dir=home / "data", tz="UTC")
    return open_store(settings)
