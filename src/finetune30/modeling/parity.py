"""PROCESS: does ``final_model/``, loaded from disk alone, answer as it was evaluated?

Run as ``python -m finetune30.modeling.parity`` with a request on standard input; the parent
(``pipeline``) compares. A process of its own, because state left in memory is exactly what
hides a head that was never saved (peft#2171, peft#876). Neighbours: ``lora`` loads strictly.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finetune30.errors import Finetune30Error, ParityError
from finetune30.standby import Standby, importing

# Float32 sums in another order differ by about 1e-6; a lost head differs by far more.
TOLERANCE = 1e-3


def probabilities_from_disk(
    folder: Path,
    name: str,
    revision: str | None,
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    max_length: int,
) -> NDArray[np.float64]:
    """Probabilities of a saved adapter as any user of peft and transformers gets them: none of our loading.

    Returns: Shape ``(len(texts), num_labels)``.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    from finetune30.modeling.base import inspect, quiet_transformers
    from finetune30.modeling.predict import logits_of, probabilities_of
    from finetune30.modeling.tokens import encode

    torch.seed()  # a layer that was not saved must not come out right by a seed we share
    with quiet_transformers():
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        base = AutoModelForSequenceClassification.from_pretrained(
            inspect(name, revision).source.folder,
            config=config,
            dtype=torch.float32,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
        )
        model = PeftModel.from_pretrained(base, folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    logits = logits_of(model, encode(tokenizer, texts, max_length, pairs=pairs), batch_size=64, device="cpu")
    return probabilities_of(logits, multi_label=config.problem_type == "multi_label_classification")


def check(
    folder: Path,
    name: str,
    revision: str | None,
    texts: Sequence[str],
    expected: NDArray[np.float64],
    max_length: int,
    process: Standby | None = None,
    *,
    pairs: Sequence[str] | None = None,
) -> float:
    """Reload ``folder`` in a fresh process and compare its probabilities with ``expected``.

    Args:
        process: A fresh process of this module that stands by; None starts one.
        pairs: The second text of each row, where rows are pairs.
    Returns: The largest difference seen.
    Raises: ParityError if a probability differs by more than ``TOLERANCE``, or the adapter does not load.
    """
    request = {
        "folder": str(folder),
        "name": name,
        "revision": revision,
        "texts": list(texts),
        "pairs": None if pairs is None else list(pairs),
        "max_length": max_length,
    }
    with process or Standby(__name__) as fresh:
        answer = fresh.ask(request)
    if answer.value is None:
        raise ParityError(
            f"the saved adapter could not be loaded in a fresh process (exit {answer.exit_code}): {answer.said}",
            where=str(folder),
        )
    if "error" in answer.value:
        raise ParityError(f"the saved adapter does not load: {answer.value['error']}", where=str(folder))
    got = np.asarray(answer.value["probabilities"], dtype=np.float64)
    worst = float(np.abs(got - expected).max()) if got.shape == expected.shape else float("inf")
    if not worst <= TOLERANCE:
        raise ParityError(
            f"the saved adapter answers differently when loaded afresh: probabilities differ by up to {worst:.3g}, "
            f"expected at most {TOLERANCE:g}",
            where=str(folder),
            hint="a layer that was trained is not in the saved files; name it in lora.modules_to_save",
        )
    return worst


def load() -> None:
    """Import all that a check needs."""
    with importing():
        import peft  # noqa: F401 - imported while the parent still trains
        import transformers.models.auto.modeling_auto  # noqa: F401 - as above

        from finetune30.modeling import predict, tokens  # noqa: F401 - as above


def rehearse() -> None:
    """Compute something with all threads: a copy of a process that had computed would wait for ever."""
    import torch

    _ = torch.ones(512, 512) @ torch.ones(512, 512)


def main() -> int:
    """Answer one request from standard input with one JSON line."""
    load()
    request = json.load(sys.stdin)
    try:
        rows = probabilities_from_disk(
            Path(request["folder"]),
            request["name"],
            request["revision"],
            request["texts"],
            request["pairs"],
            request["max_length"],
        )
    except (Finetune30Error, OSError, ValueError, RuntimeError, KeyError) as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))  # noqa: T201 - standard output is this process's answer
        return 1
    print(json.dumps({"probabilities": rows.tolist()}))  # noqa: T201 - as above
    return 0


if __name__ == "__main__":
    sys.exit(main())
