"""A tiny run that was really trained, once for a whole run of the tests, and runs that only answered.

The latter are written as the pipeline writes them (rows as a version of the data, predictions, figures), with
answers drawn at random: so runs differ in known ways, and no test trains again.
"""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from finetune30.config import from_mapping
from finetune30.experiments import Experiment, ExperimentFolder, ExperimentStore, Status, open_store
from finetune30.settings import Settings
from tests import tiny


@dataclass(frozen=True)
class Trained:
    """A results folder and a data folder with some finished runs, by what they are called in tests."""

    settings: Settings
    runs: dict[str, Experiment]

    def folder(self, name: str) -> ExperimentFolder:
        """What the run left behind."""
        return ExperimentFolder(self.settings.results_dir, self.runs[name].id)

    def moved(self, home: Path) -> Trained:
        """The same, whose folders were copied to another home."""
        places = {"results_dir": home / "results", "data_dir": home / "data"}
        return replace(self, settings=self.settings.model_copy(update=places))

    def copy(self, name: str, store: ExperimentStore, settings: Settings, owner: str) -> str:
        """The id of a finished run like this one, in another place."""
        run = self.runs[name]
        made = store.create(from_mapping(run.config), owner, tz="UTC")
        attempt = store.claim(made.id, "test")
        shutil.copytree(self.folder(name).path, settings.results_dir / made.id)
        shutil.copytree(self.settings.data_dir, settings.data_dir, dirs_exist_ok=True)
        store.finish(made.id, attempt, "test", Status.SUCCESS, metrics=run.metrics, dataset_hash=run.dataset_hash)
        return made.id


def train(home: Path, model: Path) -> Trained:
    """``trained`` for two epochs; ``guessed`` on the same rows; ``fewer``, which has 20 of them and four others;
    ``several``, whose rows have several labels."""
    from finetune30.data import Split, Splits
    from finetune30.data.versions import VersionStore
    from finetune30.pipeline import Door, run
    from finetune30.pipeline.plan import prepare

    settings = Settings(_env_file=None, results_dir=home / "results", data_dir=home / "data", tz="UTC")
    config = tiny.experiment(model, tiny.write_dataset(home / "rows"), training__save_steps=4)
    door = Door(settings, "trainer", lambda _: None, lambda: None)
    first = run(config, door).id
    rows = prepare(config, VersionStore(settings.data_dir), lambda _: None).splits
    some = rows.validation
    texts = [*some.texts[19::-1], "new one", "new two", "new three", "new four"]
    labels = [*some.labels[19::-1], 0, 1, 0, 1]
    part = Split(texts, _numbers(labels), _numbers(range(24)))
    fewer = Splits(rows.train, part, None, rows.label_names, "made by the test", (), {})
    store = open_store(settings)
    try:
        made = {
            "trained": first,
            "guessed": answered(settings, store, config, rows, seed=1),
            "fewer": answered(settings, store, config, fewer, seed=2),
            "several": answered(settings, store, config, tiny.several_labels(), seed=3),
        }
        return Trained(settings, {name: store.get(id) for name, id in made.items()})
    finally:
        store.close()


def answered(settings: Settings, store: ExperimentStore, config: Any, splits: Any, *, seed: int) -> str:
    """The id of a finished run that answered these rows at random."""
    import numpy as np

    from finetune30.data.versions import VersionStore
    from finetune30.pipeline.result import _write_predictions
    from finetune30.training import score
    from finetune30.training.fitting import task_of

    VersionStore(settings.data_dir).freeze(splits, config.data.model_dump(mode="json"), {})
    values = config.model_dump(mode="json")
    values["training"] |= {"learning_rate": seed / 1000}
    made = store.create(from_mapping(values), "trainer", tz="UTC")
    folder = ExperimentFolder.create(settings.results_dir, made.id)
    draw = random.Random(seed)
    width, rows = len(splits.label_names), len(splits.validation)
    given = np.array([[draw.random() for _ in range(width)] for _ in range(rows)])
    given = given if splits.multi_label else given / given.sum(axis=1, keepdims=True)
    _write_predictions(folder.eval_predictions, splits.validation, given, task_of(splits, config))
    scores = score(given, splits.validation.labels, splits.label_names).to_dict()
    folder.write_json(folder.metrics_json, {"eval": scores})
    attempt = store.claim(made.id, "test")
    figures = {"eval": scores, "train": {"runtime_s": float(seed)}}
    store.finish(made.id, attempt, "test", Status.SUCCESS, metrics=figures, dataset_hash=splits.fingerprint)
    return made.id


def _numbers(values: Any) -> Any:
    import numpy as np

    return np.array(list(values), np.int64)
