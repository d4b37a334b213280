"""A worker as ``finetune30 worker`` starts one, whose attempts are the fake trainer's.

Usage: run_worker.py EFFECTS CONCURRENCY [QUEUE ...]; "-" for EFFECTS: attempts that train.
"""

from __future__ import annotations

import sys
from pathlib import Path

from finetune30.settings import get_settings
from finetune30.worker.serve import TRAINER as DEFAULT_TRAINER
from finetune30.worker.serve import serve

FAKE_TRAINER = Path(__file__).with_name("fake_trainer.py")


def main(effects: str, concurrency: str, *queues: str) -> int:
    """Serve until told to stop; returns the exit code."""
    command = DEFAULT_TRAINER if effects == "-" else (sys.executable, "-P", str(FAKE_TRAINER), effects)
    return serve(get_settings(), concurrency=int(concurrency), queues=queues or ("train",), trainer=command)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
