"""Names that mean the same to whoever runs the job, in any working directory and tomorrow.

A submitter writes ``./reviews.csv`` or ``version:gold``; the row holds the whole path and the version's
hash. What can be seen to be wrong without reading the data is refused here, before there is a row.
Neighbours: ``jobs`` asks at submission; ``pipeline.plan`` checks everything when the job starts.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from finetune30.config import ExperimentConfig
from finetune30.errors import ModelError
from finetune30.modeling.source import BUILTIN, is_path, locate
from finetune30.settings import Settings


def lasting(config: ExperimentConfig, settings: Settings) -> ExperimentConfig:
    """The configuration under lasting names.

    Raises: DataError, ModelError for what is not there; NotFound for a version nobody knows.
    """
    from finetune30.data.naming import glance  # numpy comes with it, and the API starts without

    glance(config)
    config = _read_as_uploaded(config, settings)
    data = config.data.model_copy(update={"dataset_name": _dataset(config.data.dataset_name, settings)})
    model = config.model.model_copy(update={"name": _model(config.model.name, config.model.revision)})
    return config.model_copy(update={"data": data, "model": model})


def _read_as_uploaded(config: ExperimentConfig, settings: Settings) -> ExperimentConfig:
    """How an upload is read stands in the row: its card may say something else tomorrow."""
    from finetune30.data.naming import UPLOAD_PREFIX, upload_ids
    from finetune30.data.uploads import UploadStore, read_as

    name = config.data.dataset_name
    if not name.startswith(UPLOAD_PREFIX):
        return config
    store = UploadStore(settings.data_dir)
    first, *_ = [store.get(one) for one in upload_ids(name)]
    return read_as(config, first)


def _dataset(name: str, settings: Settings) -> str:
    from finetune30.data.naming import VERSION_PREFIX
    from finetune30.data.versions import VersionStore

    if name.startswith(VERSION_PREFIX):  # a tag may move on
        return f"{VERSION_PREFIX}{VersionStore(settings.data_dir).find(name.removeprefix(VERSION_PREFIX)).id}"
    return str(Path(name).absolute()) if os.path.lexists(name) else name


def _model(name: str, revision: str | None) -> str:
    if name.startswith("builtin:"):
        # Only its name: the machine that accepts jobs need not have the model.
        if name not in BUILTIN:
            near = difflib.get_close_matches(name, BUILTIN, n=1)
            raise ModelError(
                f"no built-in model {name!r}; there is {', '.join(BUILTIN)}",
                where="model.name",
                hint=f"did you mean {near[0]}?" if near else None,
            )
        return name
    return str(locate(name, revision).folder) if is_path(name) else name
