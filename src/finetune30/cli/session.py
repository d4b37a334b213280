"""A training seen from a terminal: its screen, its signals, its last line.

A progress bar where somebody watches, plain lines in a pipe; with ``--json`` everything but
the last line goes to standard error. Neighbours: ``train`` says which work, the
pipeline does it.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from types import FrameType

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from finetune30.cli.user import local_user
from finetune30.errors import Interrupted
from finetune30.experiments import Experiment, ExperimentFolder, Status
from finetune30.pipeline import Door, Stopped
from finetune30.settings import Settings, get_settings
from finetune30.standby import Standby
from finetune30.training import Event

# Columns of a terminal from which on all figures fit beside the bar.
_WIDE = 90
# `timeout` and systemd send SIGTERM to a process and to its group at the same moment: that is one wish.
_ONE_WISH_S = 1.0
_EXIT_BY_SIGNAL = {signal.SIGINT: 130, signal.SIGTERM: 143}


class StopButton:
    """Ctrl+C or SIGTERM: once asks for a checkpoint, twice stops at once.

    Before the first training step there is nothing to save, so once is enough.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.training = False
        self.pressed: signal.Signals | None = None
        self._pressed_at = 0.0

    @property
    def exit_code(self) -> int:
        """What a shell expects of a program ended by this signal."""
        return _EXIT_BY_SIGNAL[self.pressed or signal.SIGINT]

    def __call__(self) -> str | None:
        """Why to stop, for the pipeline; it asks after each step, so there is something to save now."""
        self.training = True
        return "interrupted" if self.pressed else None

    def press(self, number: int, _frame: FrameType | None) -> None:
        """The signal handler."""
        again, self.pressed = self.pressed is not None, signal.Signals(number)
        if again and number == signal.SIGTERM and time.monotonic() - self._pressed_at < _ONE_WISH_S:
            return
        self._pressed_at = time.monotonic()
        if again or not self.training:
            raise KeyboardInterrupt
        self.console.print("stopping after this step, with a checkpoint. Press Ctrl+C again to stop at once.")


class Screen:
    """Shows events to a person, or line by line to a file."""

    def __init__(self, console: Console, stop: StopButton) -> None:
        self.console = console
        self.stop = stop
        self.experiment_id: str | None = None
        self.bar: Progress | None = None
        self.task: TaskID | None = None

    def __call__(self, event: Event) -> None:
        """Show one event."""
        if event.kind == "saving":
            return
        if event.kind == "experiment":
            self.experiment_id = event.message
            self.console.print(f"experiment {event.message}", markup=False, highlight=False)
            return
        if event.kind == "note":
            self.close()  # what follows is no training step; if one does, a new bar begins
        if event.kind != "step":
            self.console.print(event.message, markup=False, highlight=False)
            return
        if self.console.is_terminal:
            self._advance(event)
        else:
            self.console.print(
                f"step {event.step}/{event.total}  epoch {event.epoch:.2f}  loss {event.loss:.4f}  "
                f"lr {event.learning_rate or 0:.2e}  {event.tokens_per_s or 0:.0f} tokens/s  eta {_clock(event.eta_s)}",
                markup=False,
                highlight=False,
            )

    def _advance(self, event: Event) -> None:
        if self.bar is None:
            figures = "loss {task.fields[loss]:.4f}"
            if self.console.width >= _WIDE:
                figures += "  lr {task.fields[rate]:.1e}  {task.fields[speed]:.0f} tokens/s"
            self.bar = Progress(
                BarColumn(bar_width=None if self.console.width >= _WIDE else 10),
                MofNCompleteColumn(),
                TextColumn(figures),
                TextColumn("eta {task.fields[eta]}"),
                console=self.console,
            )
            self.bar.start()
            self.task = self.bar.add_task("", total=event.total, loss=0.0, rate=0.0, speed=0.0, eta="")
        if self.task is not None:
            self.bar.update(
                self.task,
                completed=event.step,
                loss=event.loss or 0.0,
                rate=event.learning_rate or 0.0,
                speed=event.tokens_per_s or 0.0,
                eta=_clock(event.eta_s),
            )
        if event.step >= event.total:
            self.close()

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = self.task = None


def watched(work: Callable[[Door], Experiment], *, checker: Standby, as_json: bool) -> None:
    """Carry out a training before a person's or a script's eyes, and say in the last line how it ended.

    Args:
        checker: The fresh process that will load what was trained; it imports meanwhile.
    Raises: Interrupted when it was stopped at once, typer.Exit when it paused; errors pass through.
    """
    settings = get_settings()
    console = Console(stderr=as_json, soft_wrap=True)
    stop = StopButton(console)
    screen = Screen(console, stop)
    before = {number: signal.signal(number, stop.press) for number in _EXIT_BY_SIGNAL}
    try:
        ended = work(Door(settings, local_user(), screen, stop, checker))
    except Stopped as stopped:
        ended = stopped.experiment
    except KeyboardInterrupt:
        raise _interrupted(screen.experiment_id, stop) from None
    finally:
        screen.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    _last_line(ended, settings, as_json=as_json)
    if ended.status is not Status.SUCCESS:
        raise typer.Exit(stop.exit_code if ended.status is Status.PENDING else 1)


def _interrupted(began: str | None, stop: StopButton) -> Interrupted:
    hint = f"see: finetune30 runs show {began}" if began else "nothing was made"
    error = Interrupted("interrupted", where=began, hint=hint)
    error.exit_code = stop.exit_code
    return error


def _last_line(experiment: Experiment, settings: Settings, *, as_json: bool) -> None:
    folder = ExperimentFolder(settings.results_dir, experiment.id).path
    if as_json:
        summary = {
            "id": experiment.id,
            "status": experiment.status.value,
            "accuracy": experiment.eval_accuracy,
            "folder": str(folder),
            "paused": experiment.paused,
            "train_runtime": experiment.train_runtime,
            "resumed_from": experiment.resumed_from,
        }
        if experiment.paused:
            typer.echo(f"paused; go on with: finetune30 train --resume {experiment.id}", err=True)
        typer.echo(json.dumps(summary))
    elif experiment.status is Status.SUCCESS:
        typer.echo(f"{experiment.id}  accuracy={experiment.eval_accuracy or 0:.4f}  {folder}")
    elif experiment.status is Status.REVOKED:
        typer.echo(f"{experiment.id}  cancelled  {folder}")
    else:
        typer.echo(f"{experiment.id}  paused; go on with: finetune30 train --resume {experiment.id}")


def _clock(seconds: float | None) -> str:
    minutes, rest = divmod(int(seconds or 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
