"""Several processes train the adapter that one process trains, and end as one process ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import psutil
import pytest
import torch
from safetensors.numpy import load_file

from finetune30 import data, modeling
from finetune30.config import ExperimentConfig
from finetune30.errors import ConfigError, Crashed, DiskFull, Diverged, Killed
from finetune30.modeling.predict import logits_of
from finetune30.modeling.tokens import Tokens, encode
from finetune30.training import check_options, checkpoints, faults, fit, rank
from finetune30.training.encode import LabelledRows, StepBatches
from finetune30.training.evaluating import logits_together
from finetune30.training.fitting import task_of
from finetune30.training.launcher import FOLDER, LEADS, RANK
from finetune30.training.launching import launched
from finetune30.training.order import Order
from finetune30.training.peers import PeerLost, Peers
from finetune30.training.step import SharedStep, StopTogether
from tests import tiny
from tests.training import in_several

ROOT = Path(__file__).parents[2]
CPU = modeling.choose("cpu", False)


@pytest.fixture(autouse=True)
def _processes_find_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))


def without_dropout(model: Path, folder: Path) -> Path:
    """A copy of a model whose head drops nothing: masks are drawn by each process, and no two draw the same."""
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    for key in ("classifier_dropout", "seq_classif_dropout"):
        config[key] = 0.0
    (folder / "config.json").write_text(json.dumps(config))
    return folder


# The share of each process, without any process


@pytest.mark.parametrize("by_length", [True, False])
@pytest.mark.parametrize(("rows", "size", "batch", "accumulation"), [(91, 2, 4, 2), (97, 2, 4, 2), (33, 3, 2, 1)])
def test_a_step_holds_the_same_rows_however_many_processes_share_it(
    by_length: bool, rows: int, size: int, batch: int, accumulation: int
) -> None:
    lengths = np.random.default_rng(0).integers(3, 40, rows).tolist()

    def batches(peers: Peers, of: int) -> StepBatches:
        one = StepBatches(lengths, batch_size=of, accumulation=accumulation, seed=5, by_length=by_length, peers=peers)
        one.set_epoch(1)
        return one

    whole = batches(Peers(), batch * size)
    shares = [batches(Peers(rank, size), batch) for rank in range(size)]
    dealt = [list(share) for share in shares]

    assert [len(share) for share in dealt] == [len(share) for share in shares] == [len(whole)] * size
    for number, expected in enumerate(whole):
        together = [row for share in dealt for row in share[number]]

        assert len(together) <= batch * size
        assert all(len(share[number]) <= batch for share in dealt)
        assert len(expected) <= batch * size
    step_rows = batch * size * accumulation
    for step in range(-(-rows // step_rows)):
        part = slice(step * accumulation, (step + 1) * accumulation)
        expected = sorted(row for rows_of in list(whole)[part] for row in rows_of)
        assert sorted(row for share in dealt for rows_of in share[part] for row in rows_of) == expected
        assert len(expected) == shares[0].rows_of(step)


# One group of two processes, many trainings


@dataclass
class Scene:
    """A training by two processes, and the same by one, each in its folder."""

    config: ExperimentConfig
    splits: data.Splits
    artifacts: Path
    stop_after: int | None = None
    trouble: str | None = None

    def order(self) -> None:
        """Write what is to be trained."""
        order_of(self.config, self.splits).write(self.artifacts / FOLDER)

    def told(self, rank: int = 0) -> dict[str, Any]:
        """What a process saw and reported."""
        return json.loads((self.artifacts / f"told-{rank}.json").read_text())

    def weights(self) -> dict[str, Any]:
        """Of the best checkpoint."""
        return load_file(self.artifacts / ".kept" / "adapter_model.safetensors")

    def alone(self) -> Scene:
        """The same training in this process: batches twice as large, the same step."""
        training = self.config.training
        rows = training.per_device_train_batch_size * 2
        one = training.model_copy(update={"num_processes": 1, "per_device_train_batch_size": rows})
        config = self.config.model_copy(update={"training": one})
        return replace(self, config=config, artifacts=self.artifacts.with_name(f"{self.artifacts.name}-alone"))

    def run_alone(self) -> Scene:
        self.order()
        in_several.carry_out(self.artifacts, Peers(), stop_after=self.stop_after)
        return self


def order_of(config: ExperimentConfig, splits: data.Splits) -> Order:
    base = modeling.inspect(config.model.name)
    train, validation = (
        LabelledRows(encode(base.tokenizer, split.texts, config.data.max_length), split.labels)
        for split in (splits.train, splits.validation)
    )
    return Order(config, task_of(splits, config), CPU, train, validation)


def rows_in(batches: list[list[int]]) -> list[int]:
    return sorted(row for batch in batches for row in batch)


def steps_of(asked: list[list[int]], accumulation: int) -> list[list[list[int]]]:
    return [asked[i : i + accumulation] for i in range(0, len(asked), accumulation)]


@pytest.fixture(scope="module")
def scenes(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    """All trainings by two processes, carried out in one start of torchrun."""
    place = tmp_path_factory.mktemp("several")
    bert = without_dropout(tiny_model("bert"), place / "bert")
    roberta = without_dropout(tiny_model("roberta"), place / "roberta")
    few = tiny.write_dataset(place / "data", train=91)
    common: dict[str, Any] = {
        "training__num_processes": 2,
        "training__per_device_train_batch_size": 4,
        "training__gradient_accumulation_steps": 2,
        "training__learning_rate": 5e-4,
        "lora__lora_dropout": 0.0,
    }
    plain = tiny.experiment(bert, few, **common)
    several_labels = tiny.several_labels(train=97)
    other = tiny.experiment(
        roberta,
        few,
        **common,
        lora__use_dora=True,
        training__class_weights="balanced",
        training__train_sampling_strategy="random",
    )
    lower = tiny.experiment(bert, few, **common, training__freeze_below=1)
    early = {**common, "training__learning_rate": 1e-7}
    patient = tiny.experiment(bert, few, **early, training__early_stopping_patience=1, training__num_train_epochs=9)
    dropping = tiny.experiment(bert, few, **{**common, "lora__lora_dropout": 0.2}, training__save_steps=2)
    splits = data.load(plain)
    made = {
        "engine": Scene(plain, splits, place / "engine"),
        "no_engine": Scene(other, several_labels, place / "no_engine"),
        "lower": Scene(lower, splits, place / "lower"),
        "early": Scene(patient, splits, place / "early"),
        "narrow": Scene(plain, splits, place / "narrow", trouble="narrow"),
        "broken": Scene(plain, splits, place / "broken", trouble="broken"),
        "dropping": Scene(dropping, splits, place / "dropping"),
        "stopped": Scene(dropping, splits, place / "stopped", stop_after=5),
        "halfway": Scene(plain, splits, place / "halfway", stop_after=5),
    }
    for scene in made.values():
        scene.order()
    # What was stopped goes on in the same folder; what it told before is copied away by its name.
    made["resumed"] = replace(made["stopped"], stop_after=None)
    listed = [
        {"artifacts": str(scene.artifacts), "stop_after": scene.stop_after, "trouble": scene.trouble}
        for scene in made.values()
    ]
    folder = made["engine"].artifacts / FOLDER
    (folder / in_several.SCENARIOS).write_text(json.dumps(listed))
    environment = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in environment if path))
        log = place / "log.txt"
        with launched(folder, LEADS, in_several.__name__, 2, 1, log) as (launcher, _):
            assert launcher.wait(timeout=240) == 0, log.read_text()
    return made


@pytest.mark.parametrize("name", ["engine", "no_engine", "lower"])
def test_two_processes_see_the_rows_of_one_and_end_with_its_weights(scenes: dict[str, Scene], name: str) -> None:
    """91 rows: the last step of an epoch is 11 of 16; 97 rows: it is a single row, and one process has none."""
    two = scenes[name]
    one = two.alone().run_alone()

    shares = [steps_of(two.told(rank)["asked"], 2) for rank in (0, 1)]
    whole = steps_of(one.told()["asked"], 2)
    assert [rows_in(mine + others) for mine, others in zip(*shares, strict=True)] == [rows_in(step) for step in whole]
    assert two.told()["losses"] == pytest.approx(one.told()["losses"], abs=1e-5)
    for measured, expected in zip(two.told()["metrics"], one.told()["metrics"], strict=True):
        assert measured == pytest.approx(expected, abs=1e-5)
    ours, theirs = weights_of(two), weights_of(one)
    assert max(float(np.abs(ours[name] - theirs[name]).max()) for name in theirs) < 1e-5
    assert "on transformers' own code" in str(two.told()["notes"]) or name != "no_engine"
    assert two.told()["trained"]["figures"]["processes"] == 2


def weights_of(scene: Scene) -> dict[str, Any]:
    """Of the last checkpoint."""
    return load_file(checkpoints.last(scene.artifacts) / "adapter_model.safetensors")


def test_all_processes_stop_early_together(scenes: dict[str, Scene]) -> None:
    assert scenes["early"].told()["trained"]["stopped"] == "early"
    assert len(scenes["early"].told(0)["asked"]) == len(scenes["early"].told(1)["asked"])


def test_when_one_process_has_no_room_all_halve_their_batches(scenes: dict[str, Scene]) -> None:
    figures = scenes["narrow"].told()["trained"]["figures"]

    assert (figures["per_device_train_batch_size"], figures["gradient_accumulation_steps"]) == (2, 4)
    assert "out of memory with batches of 4: going on with 2 texts x 4 accumulation steps" in str(
        scenes["narrow"].told()["notes"]
    )
    ours, theirs = weights_of(scenes["narrow"]), weights_of(scenes["engine"])
    assert max(float(np.abs(ours[name] - theirs[name]).max()) for name in theirs) < 1e-5


def test_a_loss_that_is_no_number_in_one_process_ends_all_at_that_step(scenes: dict[str, Scene]) -> None:
    for number in (0, 1):
        assert "the loss is nan at step 1" in scenes["broken"].told(number)["error"]
        assert len(scenes["broken"].told(number)["asked"]) <= 3  # the next batch may have been made


def test_stopped_and_resumed_is_the_run_that_was_never_stopped(scenes: dict[str, Scene]) -> None:
    """With dropout: every process's generator is in the checkpoint, and no two are in the same state."""
    whole, resumed = scenes["dropping"], scenes["resumed"]

    assert "resuming from checkpoint-" in str(resumed.told()["notes"])
    assert 0 < len(resumed.told()["losses"]) < len(whole.told()["losses"])
    for name, values in weights_of(whole).items():
        assert (weights_of(resumed)[name] == values).all()
    assert whole.told(0)["generator"] != whole.told(1)["generator"]


def test_what_two_processes_began_one_process_ends(scenes: dict[str, Scene]) -> None:
    begun = scenes["halfway"]
    assert begun.told()["trained"]["stopped"] == "interrupted"
    assert begun.told()["trained"]["folder"] is None

    finished = replace(begun.alone(), artifacts=begun.artifacts, stop_after=None).run_alone()

    ours, theirs = weights_of(finished), weights_of(scenes["engine"])
    assert "resuming from checkpoint-" in str(finished.told()["notes"])
    assert max(float(np.abs(ours[name] - theirs[name]).max()) for name in theirs) < 1e-5


# The parts, without any process


class Twice(Peers):
    """Two processes of which the other does the very same."""

    def add_up(self, tensors: Sequence[torch.Tensor], figures: Sequence[Any]) -> list[float]:
        for tensor in tensors:
            tensor.mul_(2)
        return [2 * float(figure) for figure in figures]


def test_a_parameter_that_no_process_used_is_left_to_no_optimizer() -> None:
    used, unused = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(3))
    used.grad = torch.ones(2)
    peers = Twice(0, 2)
    step = SharedStep(peers, [used, unused], StopTogether(lambda: None, peers))
    step.add(torch.tensor(0.25))

    figures = step.finish(tokens=7, rows=3)

    assert (figures.loss, figures.tokens, figures.rows) == (0.5, 14, 6)
    assert used.grad.tolist() == [2, 2]
    assert unused.grad is None


def test_the_first_process_runs_one_step_ahead_of_the_answers_and_no_further() -> None:
    """So a training whose owner is frozen stands still."""
    ours, theirs = socket.socketpair()
    closed = threading.Event()
    line = rank.Line(theirs, closed=closed.set)
    said: list[str | None] = []

    def train() -> None:
        said.extend([line.why_stop(), line.why_stop(), line.why_stop()])

    with theirs, ours.makefile("rb") as lines:
        assert line.why_stop() is None  # nobody has answered yet
        thread = threading.Thread(target=train)
        thread.start()
        for reason in (None, None, "cancelled"):
            assert json.loads(lines.readline())["kind"] == "step"
            assert said == []
            ours.sendall(json.dumps({"reason": reason}).encode() + b"\n")
        thread.join()
        assert said[-1] == "cancelled"
        ours.shutdown(socket.SHUT_RDWR)
        closed.wait()
    ours.close()


class Recorded(Peers):
    """One of two processes; the pieces of the other are those of an earlier call."""

    pieces: ClassVar[dict[int, torch.Tensor]] = {}

    def gather(self, own: torch.Tensor) -> list[torch.Tensor]:
        self.pieces[self.rank] = own
        return [self.pieces.get(number, torch.zeros_like(own)) for number in range(self.size)]


def test_every_process_gets_the_logits_of_all_rows_in_their_order(tiny_model: Callable[[str], Path]) -> None:
    base = modeling.inspect(str(tiny_model("bert")))
    model = modeling.load(base, ("a", "b"), seed=3).model
    tokens = encode(base.tokenizer, [text for text, _ in tiny.rows(33)], 32)  # the second process has one row less
    how: dict[str, Any] = {"batch_size": 8, "device": "cpu"}

    logits_together(Recorded(1, 2), model, tokens, labels=2, **how)
    together = logits_together(Recorded(0, 2), model, tokens, labels=2, **how)

    alone = logits_of(model, tokens, **how)
    assert np.abs(together - alone).max() < 1e-6
    assert np.abs(alone - alone[0]).max() > 1e-4  # the rows do differ
    assert len(logits_together(Recorded(1, 2), model, tokens_of_one(tokens), labels=2, **how)) == 1


def tokens_of_one(tokens: Tokens) -> Tokens:
    """The first text alone: one of two processes has nothing to do."""
    return replace(tokens, ids=tokens.ids[: tokens.starts[1]], starts=tokens.starts[:2])


def _other_than(fault: BaseException, *, exit_codes: dict[int, int], folder: Path) -> Exception:
    faults.write_failed(folder, 0, PeerLost("another process is gone"), secondary=True)
    faults.write_failed(folder, 1, fault, secondary=False)
    faults.write_ended(folder, exit_codes)
    return faults.cause(folder, 1, 2, folder / "log")


@pytest.mark.parametrize(
    ("fault", "exit_codes", "kind", "says"),
    [
        (Diverged("the loss is nan", hint="lower it"), {0: 1, 1: 1}, Diverged, "the loss is nan"),
        (OSError(28, "No space left on device"), {0: 1, 1: 1}, DiskFull, "the disk is full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), {0: 1, 1: 1}, DiskFull, "disk is full"),
        (ValueError("odd"), {0: -15, 1: 1}, Crashed, "process 1 of 2 failed: ValueError: odd"),
        (ValueError("odd"), {0: -6, 1: -9}, Killed, r"process 1 of 2 was killed by signal 9 \(SIGKILL\)"),
        (ValueError("odd"), {0: -15, 1: -11}, Killed, r"process 1 of 2 was killed by signal 11 \(SIGSEGV\)"),
    ],
)
def test_of_all_that_went_wrong_the_cause_is_told(
    tmp_path: Path, fault: BaseException, exit_codes: dict[int, int], kind: type[Exception], says: str
) -> None:
    error = _other_than(fault, exit_codes=exit_codes, folder=tmp_path)

    assert type(error) is kind
    assert re.search(says, str(error))


def test_a_process_that_was_ended_from_outside_is_named(tmp_path: Path) -> None:
    faults.write_failed(tmp_path, 0, PeerLost("another process is gone"), secondary=True)
    faults.write_ended(tmp_path, {0: 1, 1: -15})

    assert "process 1 of 2 was killed by signal 15 (SIGTERM)" in str(faults.cause(tmp_path, 1, 2, tmp_path))
    assert "killed by signal 9" in str(faults.cause(tmp_path / "none", -9, 2, tmp_path))


def test_the_launcher_is_a_small_process() -> None:
    """It waits as long as the training lasts, so it loads torchrun and no model's code."""
    code = "import sys, finetune30.training.launcher; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# From the outside


def test_an_error_in_one_process_is_that_error_and_nobody_is_left(
    tiny_model: Callable[[str], Path], tiny_data: Path, tmp_path: Path
) -> None:
    config = tiny.experiment(tiny_model("distilbert"), tiny_data, training__num_processes=2)

    with pytest.raises(Diverged, match=r"(?s)training\.learning_rate: the loss is nan at step 1.*lower it"):
        fit(
            modeling.inspect(config.model.name),
            data.load(config),
            config,
            lambda _: None,
            artifacts=tmp_path,
            compute=CPU,
            rank=in_several.__name__,
        )

    assert not (tmp_path / FOLDER).exists()
    assert [p for p in psutil.Process().children(recursive=True) if "finetune30.training" in str(p.cmdline())] == []


def test_a_killed_process_is_one_clear_error_and_the_others_end(
    tiny_model: Callable[[str], Path], tiny_data: Path, tmp_path: Path
) -> None:
    config = tiny.experiment(
        tiny_model("distilbert"), tiny_data, training__num_processes=2, training__num_train_epochs=1000
    )

    def kill_one(event: Any) -> None:
        if event.kind == "step" and event.step == 3:
            (second,) = [process for process in training_processes() if process.environ()["RANK"] == "1"]
            second.kill()

    with pytest.raises(Killed, match=r"process 1 of 2 was killed by signal 9 \(SIGKILL\); the others were ended"):
        fit(
            modeling.inspect(config.model.name),
            data.load(config),
            config,
            kill_one,
            artifacts=tmp_path,
            compute=CPU,
        )

    assert training_processes() == []


def training_processes() -> list[psutil.Process]:
    """The processes that train, below this one."""
    return [
        process for process in psutil.Process().children(recursive=True) if process.cmdline()[1:4] == ["-P", "-m", RANK]
    ]


def test_two_machines_train_one_adapter_and_stop_at_one_checkpoint(
    tiny_model: Callable[[str], Path], tiny_data: Path, tmp_path: Path, free_port: int
) -> None:
    """Two launchers that meet at an address, as on two machines with one folder of results."""
    config = tiny.experiment(
        tiny_model("distilbert"),
        tiny_data,
        training__num_nodes=2,
        training__rdzv_endpoint=f"127.0.0.1:{free_port}",
        training__num_train_epochs=1000,
    )
    joined: list[subprocess.Popen[str]] = []
    notes: list[str] = []

    def hear(event: Any) -> None:
        notes.append(event.message)
        if "for 1 more machine(s)" in event.message:
            words = event.message.partition("python ")[2].split()
            joined.append(
                subprocess.Popen(
                    [sys.executable, *words],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )

    asked = iter(range(1, 1000))
    trained = fit(
        modeling.inspect(config.model.name),
        data.load(config),
        config,
        hear,
        artifacts=tmp_path,
        compute=CPU,
        stop_requested=lambda: "paused" if next(asked) == 3 else None,
    )

    assert (trained.stopped, trained.folder) == ("paused", None)
    last = checkpoints.last(tmp_path)
    assert 3 <= int(last.name.removeprefix("checkpoint-")) < 3000
    assert (last / "rng_state_1.json").exists()
    out, _ = joined[0].communicate(timeout=60)
    assert joined[0].returncode == 0, out
    assert "trained together with the others" in out
    assert not list(tmp_path.glob("processes*.log"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"training__num_nodes": 2}, r"training\.rdzv_endpoint: is null, but training\.num_nodes: 2 must meet"),
        ({"training__rdzv_endpoint": "host:1"}, r"training\.rdzv_endpoint: is host:1, which needs"),
        ({"training__num_processes": 2, "training__device": "cuda:1"}, r"one device for 2 processes"),
        ({"training__rdzv_endpoint": "host"}, "expected HOST:PORT"),
        ({"training__num_processes": 0}, "training.num_processes"),
    ],
)
def test_what_several_processes_cannot_be_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        tiny.experiment("builtin:minilm", "builtin:reviews", **changes)


def test_more_processes_than_devices_are_refused_before_anything_is_made() -> None:
    config = tiny.experiment("builtin:minilm", "builtin:reviews", training__num_processes=64, training__device="cuda")

    with pytest.raises(ConfigError, match=r"training\.num_processes: is 64, but this machine has \d+ device"):
        check_options(config, ("a", "b"), modeling.Compute("cuda:0", "float32", "a test"))
