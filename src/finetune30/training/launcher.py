"""torchrun for one machine, tied to the process that wants the adapter.

``python -m finetune30.training.launcher FOLDER PARENT ROLE MODULE`` runs ``torch.distributed.run`` and so
starts MODULE once a device. Its standard input is the line to the parent, which the processes inherit.
Role ``leads`` is the machine of the process that wants the adapter, ``joins`` any other.
Neighbours: ``several`` and ``join`` start it, ``rank`` is what it starts, ``faults`` is what it leaves behind.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

from finetune30.training import faults, ties

FOLDER, ORDER = ".processes", "order.json"  # below a run's artifacts
RANK = "finetune30.training.rank"  # what it starts unless a test says otherwise
PARENT = "FINETUNE30_LAUNCHER"
LEADS, JOINS = "leads", "joins"
# Machines are started by people; until then the first one waits.
_JOIN_S = 3600


def main() -> None:
    """Start the processes and wait for them; exit code 1 if one failed."""
    folder, parent, role, module = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    ties.die_with_parent(parent)
    ties.die_with_socket(socket.socket(fileno=os.dup(0)))
    os.environ[PARENT] = str(os.getpid())
    # Imported late: the ties come first.
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError

    try:
        run.run(run.parse_args(_arguments(folder, role, module)))  # type: ignore[no-untyped-call]
    except ChildFailedError as fault:
        faults.write_ended(folder, {rank: failure.exitcode for rank, failure in fault.failures.items()})
        sys.exit(1)
    except RendezvousError as fault:
        faults.write_unmet(folder, f"{type(fault).__name__}: {fault}")
        sys.exit(1)


def _arguments(folder: Path, role: str, module: str) -> list[str]:
    # Not ``Order.read``: this process shall stay small.
    order = json.loads((folder / ORDER).read_text(encoding="utf-8"))
    training = order["config"]["training"]
    endpoint = training["rdzv_endpoint"]
    here = ["--local-addr", endpoint.rpartition(":")[0].strip("[]")] if endpoint and role == LEADS else []
    return [
        *("--nnodes", str(training["num_nodes"])),
        *("--nproc-per-node", str(training["num_processes"])),
        *("--rdzv-backend", "c10d"),
        *("--rdzv-endpoint", endpoint or "localhost:0"),
        *("--rdzv-id", order["meeting"]),
        *("--rdzv-conf", f"join_timeout={_JOIN_S}"),
        *here,
        *("--max-restarts", "0"),  # a run that failed is resumed from its checkpoint, by its row
        *("--monitor-interval", "0.1"),
        "--no-python",
        # -P: a calendar.py in the user's folder must not be imported instead of Python's own.
        *(sys.executable, "-P", "-m", module, str(folder), role),
    ]


if __name__ == "__main__":
    main()
