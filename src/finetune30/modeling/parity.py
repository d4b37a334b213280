"""PROCESS: does ``final_model/``, loaded from disk alone, answer as it was evaluated?

Run as ``python -m finetune30.modeling.parity`` with a request on standard input; the parent
(``pipeline``) compares. A process of its own, because state left in memory is exactly what
hides a head that was never saved (peft#2171, peft#876). Neighbours: ``lora`` loads strictly.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finetune30.errors import Finetune30Error, ParityError

# Float32 sums in another order differ by about 1e-6; a lost head differs by far more.
TOLERANCE = 1e-3


def probabilities_from_disk(
    folder: Path, name: str, revision: str | None, texts: Sequence[str], max_length: int
) -> NDArray[np.float64]:
    """Probabilities of a saved adapter, nothing but its folder and its base being known.

    Returns: Shape ``(len(texts), num_labels)``.
    """
    from finetune30.modeling import open_adapter

    return open_adapter(folder, name, revision, max_length=max_length).probabilities(texts)


def check(
    folder: Path,
    name: str,
    revision: str | None,
    texts: Sequence[str],
    expected: NDArray[np.float64],
    max_length: int,
) -> float:
    """Reload ``folder`` in a fresh process and compare its probabilities with ``expected``.

    Returns: The largest difference seen.
    Raises: ParityError if a probability differs by more than ``TOLERANCE``, or the adapter does not load.
    """
    request = {
        "folder": str(folder),
        "name": name,
        "revision": revision,
        "texts": list(texts),
        "max_length": max_length,
    }
    child = subprocess.run(
        [sys.executable, "-m", "finetune30.modeling.parity"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        answer = json.loads(child.stdout.splitlines()[-1])
    except (IndexError, ValueError) as cause:
        last = (child.stderr.strip().splitlines() or ["no output"])[-1]
        raise ParityError(
            f"the saved adapter could not be loaded in a fresh process (exit {child.returncode}): {last}",
            where=str(folder),
        ) from cause
    if "error" in answer:
        raise ParityError(f"the saved adapter does not load: {answer['error']}", where=str(folder))
    got = np.asarray(answer["probabilities"], dtype=np.float64)
    worst = float(np.abs(got - expected).max()) if got.shape == expected.shape else float("inf")
    if not worst <= TOLERANCE:
        raise ParityError(
            f"the saved adapter answers differently when loaded afresh: probabilities differ by up to {worst:.3g}, "
            f"expected at most {TOLERANCE:g}",
            where=str(folder),
            hint="a layer that was trained is not in the saved files; name it in lora.modules_to_save",
        )
    return worst


def main() -> int:
    """Answer one request from standard input with one JSON line."""
    request = json.load(sys.stdin)
    try:
        rows = probabilities_from_disk(
            Path(request["folder"]),
            request["name"],
            request["revision"],
            request["texts"],
            request["max_length"],
        )
    except Finetune30Error as error:
        print(json.dumps({"error": str(error)}))  # noqa: T201 - standard output is this process's answer
        return 1
    print(json.dumps({"probabilities": rows.tolist()}))  # noqa: T201 - as above
    return 0


if __name__ == "__main__":
    sys.exit(main())
