"""``python -m finetune30.training.join ARTIFACTS``: this machine's processes for a training of several machines.

Started by a person or a scheduler on each machine but the first, once the first one waits for it; needs
nothing but the shared folder of the run and the network. It ends with the training. Neighbours:
``several`` says on the first machine what to start.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path

from finetune30.training.launcher import FOLDER, JOINS, ORDER, RANK
from finetune30.training.launching import launched

_WAIT_S, _LOOK_S = 600.0, 0.2


def main() -> int:
    """Train with the others. Returns: The exit code: 0; 1 if the training failed; 2 if there is none."""
    if len(sys.argv) != 2:
        _complain("usage: python -m finetune30.training.join RESULTS/ID/artifacts")
        return 2
    artifacts = Path(sys.argv[1])
    folder = artifacts / FOLDER
    if not _wait_for(folder / ORDER):
        _complain(
            f"error: {artifacts}: no training waits here, expected the artifacts folder of a run with "
            "training.num_nodes above 1\n  hint: start the run on the first machine; it says what to start here"
        )
        return 2
    training = json.loads((folder / ORDER).read_text(encoding="utf-8"))["config"]["training"]
    log = artifacts / f"processes-{_name()}.log"
    nodes, count = training["num_nodes"], training["num_processes"]
    _say(f"joining {count} process(es) at {training['rdzv_endpoint']}")
    with launched(folder, JOINS, RANK, count, nodes, log) as (launcher, _):
        code = launcher.wait()
    if code:
        _complain(f"error: the training ended here without success; see the first machine, and {log}")
        return 1
    log.unlink(missing_ok=True)
    _say("trained together with the others")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _wait_for(path: Path) -> bool:
    until = time.monotonic() + _WAIT_S
    while not path.exists():
        if not path.parent.parent.is_dir() or time.monotonic() > until:
            return False
        time.sleep(_LOOK_S)
    return True


def _name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


if __name__ == "__main__":
    sys.exit(main())
