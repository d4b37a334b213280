"""What training and serving ask of their process: no more threads than cores run, no more memory than is of use."""

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


@pytest.mark.skipif(sys.platform != "linux", reason="glibc says what is in use")
def test_to_answer_a_kernel_is_described_once() -> None:
    """What oneDNN keeps of a product's shape is a quarter of a MiB, and torch would keep as much again beside it."""
    torch = pytest.importorskip("torch")
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor's products in bfloat16 are not oneDNN's")

    answering, training = _kernel_kib("FEW_DESCRIPTIONS"), _kernel_kib("KERNELS")

    if training < 300:
        pytest.skip("this torch keeps no descriptions")
    assert answering < 0.7 * training


def _kernel_kib(descriptions: str) -> float:
    """Of a shape of a batched product, when many were met."""
    code = (
        "import ctypes, torch; from finetune30.modeling import process\n"
        f"process.tune(process.{descriptions}); torch.set_num_threads(1)\n"
        "class Found(ctypes.Structure): _fields_ = [(str(at), ctypes.c_size_t) for at in range(10)]\n"
        "library = ctypes.CDLL(None); library.mallinfo2.restype = Found\n"
        "used = lambda: getattr(library.mallinfo2(), '7')\n"
        "one = lambda rows: torch.bmm(*(torch.ones(rows, *of, dtype=torch.bfloat16) for of in ((20, 64), (64, 24))))\n"
        "one(2); before = used()\n"
        "for rows in range(3, 483): one(rows)\n"
        "print((used() - before) / 480 / 1024)"
    )
    env = {k: v for k, v in os.environ.items() if k not in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return float(done.stdout)
