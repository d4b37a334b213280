"""``finetune30 up`` and its parts: one log, started again when they die, and never without their parent."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from finetune30.cli.up import _is_there
from tests.jobs.plant import PATIENCE_S, Plant

REFUSING = """
import sys
from finetune30.cli.parts import Part, run_together
sys.exit(run_together([Part("jobs", ("jobs", "lst"))], 5))
"""


class Up:
    """``finetune30 up`` as a process of its own."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.log = plant.home / "up.log"
        self.process = plant.run(["-m", "finetune30", "up"], self.log)

    def worker(self, number: int = 1) -> psutil.Process:
        """The worker that was started as the ``number``-th, as soon as it serves."""
        self.plant.until(lambda: len(self._serving()) >= number, f"worker {number} serves: {self.text}", PATIENCE_S)
        return psutil.Process(int(re.findall(r"worker runs \(process (\d+)\)", self.text)[number - 1]))

    def ends(self) -> int:
        """The exit code."""
        return self.process.wait(PATIENCE_S)

    @property
    def text(self) -> str:
        """The log so far."""
        return self.log.read_text(encoding="utf-8")

    def _serving(self) -> list[str]:
        return re.findall(r"^worker +\| .*queue.*$", self.text, re.MULTILINE)


@pytest.fixture
def up(make_plant: Callable[..., Plant]) -> Up:
    return Up(make_plant("E"))


def gone(process: psutil.Process) -> bool:
    """It has ended, and is at most waited for."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_part_in_order_and_that_is_no_error(up: Up, number: signal.Signals) -> None:
    worker = up.worker()

    up.process.send_signal(number)

    assert up.ends() == 0
    assert gone(worker)
    lines = up.text.splitlines()
    assert all(re.match(r"(up|api|worker|serving|page) +\| ", line) for line in lines)
    assert "up      | worker ended" in lines
    assert any(line.startswith("up      | api ended") for line in lines)
    assert up.plant.queue.workers() == []


def test_a_signal_that_comes_twice_at_once_is_one(up: Up) -> None:
    """As ``timeout`` sends it: to the process and to its group."""
    up.worker()

    for _ in range(3):
        up.process.terminate()

    assert up.ends() == 0
    assert "at once\n" not in up.text.replace("again to stop at once", "")


def test_a_part_that_dies_is_started_again_and_that_is_said(up: Up) -> None:
    first = up.worker()

    first.kill()

    assert not gone(up.worker(2))
    assert "worker ended unexpectedly (signal SIGKILL); starting it again in 1 s" in up.text
    up.process.terminate()
    assert up.ends() == 0


def test_g16_no_part_outlives_its_parent(up: Up) -> None:
    worker = up.worker()

    up.process.kill()
    up.process.wait()

    up.plant.until(lambda: gone(worker), "the worker ends with its parent")


def test_g16_a_frozen_part_does_not_outlive_its_parent_either(up: Up) -> None:
    worker = up.worker()
    worker.suspend()

    up.process.kill()
    up.process.wait()

    up.plant.until(lambda: gone(worker), "the worker ends with its parent")


def test_a_second_signal_ends_at_once_what_does_not_end(up: Up) -> None:
    worker = up.worker()
    worker.suspend()
    up.process.send_signal(signal.SIGINT)
    up.plant.until(lambda: "stopping; " in up.text, "up is stopping")

    def heard() -> bool:
        if "up      | stopping at once" in up.text:
            return True
        up.process.send_signal(signal.SIGINT)
        return False

    up.plant.until(heard, "up hears the second signal")
    assert up.ends() == 130
    up.plant.until(lambda: gone(worker), "the worker ends")


def test_predictions_are_served_as_well_and_the_first_run_is_waited_for(up: Up) -> None:
    up.plant.until(lambda: re.search(r"^serving \| .*serving on http", up.text, re.MULTILINE), "it serves", 120)

    assert "there is no successful run yet" in up.text
    up.process.terminate()
    assert up.ends() == 0
    assert "up      | serving ended" in up.text
    assert "unexpectedly" not in up.text


def test_without_torch_the_others_run_and_that_is_said_once(make_plant: Callable[..., Plant]) -> None:
    plant = make_plant("E")
    code = "import sys; sys.modules.update(torch=None); sys.argv = ['finetune30', 'up']; "
    log = plant.home / "up.log"
    process = plant.run(["-c", f"{code}from finetune30.cli import main; main()"], log)
    plant.until(lambda: "worker runs" in log.read_text(), "the worker runs", PATIENCE_S)
    process.terminate()

    assert process.wait(PATIENCE_S) == 0
    told = log.read_text()
    assert told.count("torch is not installed") == 1
    assert "finetune30[serving]" in told
    assert "serving runs" not in told


def test_a_part_that_refuses_its_input_is_not_started_again(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REFUSING], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )

    assert done.returncode == 2
    assert "jobs | Error: No such command 'lst'. Did you mean 'list'?" in done.stdout
    assert "up   | jobs refuses to run, see above" in done.stdout
    assert done.stdout.count("jobs runs (process") == 1


def test_the_page_is_started_too_its_address_is_one_line_and_it_knows_the_api(up: Up) -> None:
    """The key with which the API believes the page is made for the two of them and told nobody."""
    pytest.importorskip("streamlit")
    told = re.compile(r"^page +\| the web page is at (http://localhost:\d+)$", re.MULTILINE)
    up.plant.until(lambda: told.search(up.text), f"the page serves: {up.text}", PATIENCE_S)
    (address,) = told.findall(up.text)

    answer = httpx.get(f"{address}/login", trust_env=False)

    assert answer.status_code == 200
    (page,) = re.findall(r"page runs \(process (\d+)\)", up.text)
    (api,) = re.findall(r"api runs \(process (\d+)\)", up.text)
    keys = {psutil.Process(int(number)).environ()["PAGE_KEY"] for number in (page, api)}
    assert len(keys) == 1
    assert keys.pop() not in up.text
    up.process.terminate()
    assert up.ends() == 0


def test_a_part_whose_packages_are_missing_is_left_out_and_that_is_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert not _is_there(("no_such_package",), "the web page", "for it: pip install")
    assert (
        "the web page is not started, no_such_package is not installed; for it: pip install" in capsys.readouterr().err
    )
