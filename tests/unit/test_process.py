"""What training asks of its process: no more threads than there are cores to run them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from finetune30.modeling import process


@pytest.mark.parametrize(
    ("text", "cores"),
    [("200000 100000\n", 2), ("max 100000\n", None), ("50000 100000\n", 1), ("350000 100000\n", 3), ("", None)],
)
def test_a_container_has_the_cores_it_is_given_time_on(tmp_path: Path, text: str, cores: int | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert process._granted(tmp_path / "cpu.max") == cores


def test_no_cgroup_is_no_limit(tmp_path: Path) -> None:
    assert process._granted(tmp_path / "cpu.max") is None


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
@pytest.mark.parametrize(("asked", "threads"), [(None, 1), ("2", 2)])
def test_a_process_bound_to_one_core_trains_with_one_thread_unless_told_otherwise(
    asked: str | None, threads: int
) -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "import torch; from finetune30.modeling.process import tune\n"
        "tune(); tune(); print(torch.get_num_threads())"
    )
    env = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"} | (
        {"OMP_NUM_THREADS": asked} if asked else {}
    )
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert int(done.stdout) == threads
