"""PerformanceMonitor: what a run does to its machine, seen from beside it; and the report about it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from finetune30.monitoring import GpuSample, PerformanceMonitor, environment_report, nvidia_probe
from finetune30.monitoring.performance import usable_cores

MIB = 2**20
HOLDER = (
    "import sys; block = bytearray(int(sys.argv[1])); block[::4096] = b'x' * len(block[::4096])\n"
    "print('held', flush=True); sys.stdin.readline()\n"
)


def eventually(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def peak(monitor: PerformanceMonitor) -> float:
    return monitor.summary()["memory_bytes_peak"] or 0


def test_memory_watch_a_childs_allocation_shows_in_the_peak() -> None:
    with PerformanceMonitor(interval_s=0.05) as monitor:
        before = peak(monitor)
        command = [sys.executable, "-c", HOLDER, str(200 * MIB)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout
            child.stdout.readline()
            eventually(lambda: peak(monitor) > before + 190 * MIB)
            child.communicate("\n")
        with_child = peak(monitor)

    assert before > 0
    assert peak(monitor) == with_child  # what was freed later stays in the peak


def test_work_shows_as_processor_use_and_sleep_does_not() -> None:
    with PerformanceMonitor(interval_s=0.2) as idle:
        time.sleep(1)
    with PerformanceMonitor(interval_s=0.2) as busy:
        until = time.process_time() + 1
        while time.process_time() < until:
            pass

    assert (idle.summary()["cpu_percent_mean"] or 0) < 20 < (busy.summary()["cpu_percent_max"] or 0)


def test_the_summary_has_every_figure_and_is_strict_json() -> None:
    with PerformanceMonitor(interval_s=0.05) as monitor:
        eventually(lambda: monitor.summary()["cpu_percent_mean"] is not None)

    summary = monitor.summary()
    json.dumps(summary, allow_nan=False)
    assert set(summary) == {
        "cpu_percent_mean",
        "cpu_percent_max",
        "memory_bytes_peak",
        "memory_bytes_mean",
        "system_memory_percent_max",
        "gpu_memory_bytes_peak",
        "gpu_utilization_percent_mean",
        "samples",
        "cores",
        "duration_s",
    }
    assert 0 < (summary["memory_bytes_mean"] or 0) <= (summary["memory_bytes_peak"] or 0)
    assert 0 < (summary["system_memory_percent_max"] or 0) <= 100
    assert (summary["gpu_memory_bytes_peak"], summary["gpu_utilization_percent_mean"]) == (None, None)


def test_the_shortest_run_has_a_sample() -> None:
    with PerformanceMonitor(interval_s=60) as monitor:
        pass

    assert monitor.summary()["samples"] == 1
    assert peak(monitor) > 0


def test_the_gpus_figures_are_kept_where_it_answers() -> None:
    answers = iter([GpuSample(3 * MIB, 40.0), None, GpuSample(2 * MIB, None), GpuSample(1 * MIB, 60.0)])

    with PerformanceMonitor(interval_s=0.01, gpu=lambda: next(answers, None)) as monitor:
        eventually(lambda: (monitor.summary()["samples"] or 0) > 4)

    summary = monitor.summary()
    assert (summary["gpu_memory_bytes_peak"], summary["gpu_utilization_percent_mean"]) == (3 * MIB, 50)


def test_an_error_in_the_block_passes_and_the_thread_ends() -> None:
    with pytest.raises(ZeroDivisionError), PerformanceMonitor(interval_s=60) as monitor:
        raise ZeroDivisionError
    assert not monitor._thread.is_alive()


def test_a_machine_without_gpu_has_no_probe_and_no_error() -> None:
    if Path("/dev/nvidiactl").exists():
        sample = nvidia_probe()
        assert sample
        assert sample()
    else:
        assert nvidia_probe() is None


def test_a_gpu_hidden_from_the_run_is_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    assert nvidia_probe() is None


def test_cores_are_those_this_process_may_use() -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system knows no affinity")
    assert usable_cores() == len(os.sched_getaffinity(0))


# The environment report --------------------------------------------------------------------------


def test_the_report_names_versions_machine_and_command() -> None:
    report = environment_report()

    assert set(report["versions"]) == {
        "finetune30",
        "torch",
        "transformers",
        "peft",
        "accelerate",
        "datasets",
    }
    assert report["versions"]["finetune30"]
    assert report["python"] == ".".join(map(str, sys.version_info[:3]))
    assert report["memory_bytes"] == psutil.virtual_memory().total
    assert report["command"] == sys.argv
    json.dumps(report, allow_nan=False)


def test_the_report_tells_no_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "DATABASE_URL", "WANDB_API_KEY"):
        monkeypatch.setenv(name, "postgresql://ana:s3cret-canary@db")

    assert "s3cret-canary" not in json.dumps(environment_report())


def test_the_report_names_the_commit_and_whether_files_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment_report()["git_commit"] is None

    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    (tmp_path / "file").write_text("1")
    for command in (["init", "-q"], ["add", "file"], [*identity, "commit", "-qm", "x"]):
        subprocess.run(["git", *command], check=True)
    commit = environment_report()["git_commit"]
    assert len(commit) == 40

    (tmp_path / "file").write_text("2")
    assert environment_report()["git_commit"] == f"{commit}+changes"


def test_the_report_imports_no_heavy_package() -> None:
    program = (
        "import sys; from finetune30.monitoring import environment_report; environment_report()\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'accelerate'}; print(heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


def test_the_latest_look_has_the_figures_that_could_be_measured() -> None:
    assert PerformanceMonitor().latest() == {}
    with PerformanceMonitor(interval_s=0.01) as monitor:
        pass

    assert monitor.latest()["memory_bytes"] > 0
    assert None not in monitor.latest().values()
