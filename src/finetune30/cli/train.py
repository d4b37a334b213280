"""``finetune30 train``: run an experiment on this machine, or go on with one."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from finetune30.cli import wanted
from finetune30.errors import ConfigError
from finetune30.standby import Standby, importing, may_copy

# Its name, not the module: this one must not load torch before it has started that one.
CHECKER = "finetune30.modeling.parity"


def train(
    config: wanted.ConfigArgument = None,
    config_option: wanted.ConfigOption = None,
    overrides: wanted.Overrides = None,
    experiment_name: wanted.ExperimentName = None,
    learning_rate: wanted.LearningRate = None,
    epochs: wanted.Epochs = None,
    train_samples: wanted.TrainSamples = None,
    device: wanted.Device = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="ID", help="Go on with a paused, killed or failed run.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Last line of stdout: one JSON object.")] = False,
) -> None:
    """Train an adapter on this machine and print where it landed."""
    path = wanted.one_file(config, config_option)
    given = wanted.all_overrides(
        overrides,
        experiment_name=experiment_name,
        learning_rate=learning_rate,
        epochs=epochs,
        train_samples=train_samples,
        device=device,
    )
    if resume is not None and (path or given):
        raise ConfigError(
            "a resumed run goes on with the configuration it began with",
            where="--resume",
            hint="leave out CONFIG, --set and the other flags; to change something, start a new run",
        )
    if resume is not None:
        _resume(resume, as_json)
    else:
        _run(path, given, as_json)


def _run(path: Path | None, given: list[str], as_json: bool) -> None:
    from finetune30.config import load
    from finetune30.data import glance

    # Before torch loads: a misspelt key or a file that is not there is answered at once.
    checked = load(path, given)
    glance(checked)

    with _checker() as checker:
        with importing():
            from finetune30 import pipeline
            from finetune30.cli.session import watched
        checker.imported()

        watched(lambda door: pipeline.run(checked, door), checker=checker, as_json=as_json)


def _checker() -> Standby:
    """It loads files that this process would not: no key of a service that runs here is its business.

    So where this process knows one, it is not a copy of this one.
    """
    import os

    from finetune30.settings import get_settings, knows_secrets, without_secrets

    return Standby(CHECKER, without_secrets(os.environ), waits=may_copy() and not knows_secrets(get_settings()))


def _resume(experiment_id: str, as_json: bool) -> None:
    from finetune30.experiments import open_store
    from finetune30.settings import get_settings

    with closing(open_store(get_settings(), create=False)) as store:
        store.match(experiment_id)  # an unknown id is answered at once

    with _checker() as checker:
        with importing():
            from finetune30 import pipeline
            from finetune30.cli.session import watched
        checker.imported()

        watched(lambda door: pipeline.resume(experiment_id, door), checker=checker, as_json=as_json)
