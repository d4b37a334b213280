"""What several processes are told to do: a folder with a JSON file and the token ids of the rows.

Written by the process that wants an adapter, read by those that train it, on this machine or another
that sees the folder. The ids are mapped, so their number is in memory once a machine. No pickle:
nothing in a file may run. Neighbours: ``several`` writes, ``rank`` and ``join`` read.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from finetune30.config import ExperimentConfig, from_mapping
from finetune30.durable import put_in_place, remove, write_text
from finetune30.modeling import Compute, Task
from finetune30.modeling.tokens import Padder, Tokens
from finetune30.training.encode import LabelledRows
from finetune30.training.launcher import ORDER

_PADDER = b"padder"


@dataclass(frozen=True)
class Order:
    """One adapter to be trained by several processes.

    Attributes:
        config: With a number as its batch size.
        compute: As it was chosen on the first machine; each process takes the device of its number.
        meeting: A name that only the processes of this order know each other by.
    """

    config: ExperimentConfig
    task: Task
    compute: Compute
    train_rows: LabelledRows
    eval_rows: LabelledRows
    meeting: str = field(default_factory=lambda: uuid.uuid4().hex)

    def write(self, folder: Path) -> None:
        """Put the order into a folder; its JSON file comes last, so who finds it finds all."""
        remove(folder)
        folder.mkdir(parents=True)
        for name, rows in (("train", self.train_rows), ("validation", self.eval_rows)):
            _write_rows(rows, folder / f"{name}.arrow")
        values = {
            "config": self.config.to_dict(),
            "task": asdict(self.task),
            "compute": asdict(self.compute),
            "meeting": self.meeting,
        }
        write_text(folder / ORDER, json.dumps(values, ensure_ascii=False))

    @classmethod
    def read(cls, folder: Path) -> Order:
        """The order that was written into a folder."""
        values = json.loads((folder / ORDER).read_text(encoding="utf-8"))
        task = {**values["task"], "label_names": tuple(values["task"]["label_names"])}
        return cls(
            from_mapping(values["config"], where=str(folder / ORDER)),
            Task(**task),
            Compute(**values["compute"]),
            _read_rows(folder / "train.arrow"),
            _read_rows(folder / "validation.arrow"),
            values["meeting"],
        )


def _write_rows(rows: LabelledRows, path: Path) -> None:
    tokens = rows.tokens
    columns: dict[str, NDArray[Any]] = {
        "ids": np.asarray(tokens.ids),
        "starts": tokens.starts,
        "cut": tokens.cut,
        "labels": np.ascontiguousarray(rows.labels).reshape(-1),
        "shape": np.asarray(rows.labels.shape, dtype=np.int64),
    }
    if tokens.types is not None:
        columns["types"] = np.asarray(tokens.types)
    # One row whose columns are lists: each column is one buffer of the file, mapped as it is.
    lists = {name: pa.array([v], pa.large_list(pa.from_numpy_dtype(v.dtype))) for name, v in columns.items()}
    table = pa.table(lists).replace_schema_metadata({_PADDER: json.dumps(asdict(tokens.padder)).encode()})
    staging = path.with_name(f"{path.name}.part")
    with pa.OSFile(str(staging), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    put_in_place(staging, path)


def _read_rows(path: Path) -> LabelledRows:
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    columns = {name: table.column(name).chunk(0).values.to_numpy(zero_copy_only=True) for name in table.schema.names}
    padder = Padder(**json.loads(table.schema.metadata[_PADDER]))
    tokens = Tokens(columns["ids"], columns.get("types"), columns["starts"], columns["cut"], padder)
    return LabelledRows(tokens, columns["labels"].reshape(tuple(columns["shape"].tolist())))
