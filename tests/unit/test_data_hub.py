"""Hub datasets, through the real datasets library and a hub made of this test."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.data_cases import balanced, configured

from finetune30.data.hub import tables_of
from finetune30.data.prepare import prepare
from finetune30.errors import DataError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LOAD = """
import json, sys
from tests.data_cases import configured
from finetune30.data import load
from finetune30.errors import DataError
for keys in json.loads(sys.argv[1]):
    try:
        splits = load(configured(**keys))
        print(json.dumps({"train": len(splits.train), "source": splits.source, "notes": splits.notes}))
    except DataError as fault:
        print(json.dumps(fault.to_dict()))
"""


def rows_csv(count: int) -> bytes:
    return b"text,label\n" + b"".join(f"{text},{label}\n".encode() for text, label in balanced(count))


class Hub(http.server.ThreadingHTTPServer):
    """Two datasets: ana/tiny has data files, ana/script has a loading script too."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        data = {"train.csv": rows_csv(40), "test.csv": rows_csv(4)}
        self.repos = {"ana/tiny": data, "ana/script": {**data, "script.py": b"raise SystemExit('ran')"}}
        self.asked: list[str] = []


class _Answer(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        for name, files in self.server.repos.items():
            resolved = path.removeprefix(f"/datasets/{name}/resolve/").split("/", 1)
            if resolved[-1] in files and len(resolved) == 2:
                return self._send(200, files[resolved[1]])
            if path.startswith(f"/datasets/{name}/"):
                return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            listed = [{"type": "file", "oid": "0", "size": len(data), "path": file} for file, data in files.items()]
            if path.startswith(f"/api/datasets/{name}/tree/"):
                return self._send(200, json.dumps(listed).encode())
            if path == f"/api/datasets/{name}" or path.startswith(f"/api/datasets/{name}/revision/"):
                siblings = [{"rfilename": file} for file in files]
                return self._send(200, json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode())
        return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET  # noqa: N815 - the name the standard library asks for

    def _send(self, code: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        known = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT}  # noqa: S324
        for name, value in {**known, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def loaded(hub: Hub, home: Path, *configurations: dict[str, Any], **variables: str) -> list[dict[str, Any]]:
    """What ``load`` gives for each configuration, in a process of its own with this hub and cache."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    environment = {
        **kept,
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
        **variables,
    }
    command = [sys.executable, "-c", LOAD, json.dumps(configurations)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_hub_dataset_is_fetched_at_its_revision_and_later_read_offline(hub: Hub, tmp_path: Path) -> None:
    pinned = {"name": "ana/tiny", "revision": COMMIT}
    first, unpinned = loaded(hub, tmp_path, pinned, {"name": "ana/tiny"})
    assert (first["train"], first["source"]) == (36, f"ana/tiny@{COMMIT}")
    assert "data.revision is not set: ana/tiny may change on the hub" in unpinned["notes"]

    hub.asked.clear()
    other = {"name": "ana/tiny", "revision": "f" * 40}
    again, refused = loaded(hub, tmp_path, pinned, other, HF_HUB_OFFLINE="1")

    assert again == first
    assert refused["message"] == f"'ana/tiny' was found in the cache at {COMMIT}, expected {'f' * 40}"
    assert hub.asked == []


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"])
def test_nothing_is_fetched_when_the_environment_forbids_it(hub: Hub, tmp_path: Path, variable: str) -> None:
    (refused,) = loaded(hub, tmp_path, {"name": "ana/tiny"}, **{variable: "1"})

    assert refused["code"] == "data_invalid"
    assert f"the hub may not be asked: {variable} is set" in refused["message"]
    assert hub.asked == []


def test_a_dataset_that_runs_code_or_does_not_exist_is_refused(hub: Hub, tmp_path: Path) -> None:
    script, missing = loaded(hub, tmp_path, {"name": "ana/script"}, {"name": "ana/nothing"})

    assert "Dataset scripts are no longer supported" in script["message"]
    assert "hub dataset 'ana/nothing' cannot be loaded" in missing["message"]


@pytest.mark.parametrize("name", ["csv", "pandas", "imagefolder"])
def test_names_of_file_formats_do_not_collect_files_of_the_working_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.csv").write_bytes(rows_csv(20))

    from finetune30.data import load

    with pytest.raises(DataError, match=f"'{name}' is a file format"):
        load(configured(name))


def dataset(texts: list[str | None], labels: list[Any], names: list[str] | None = None) -> Any:
    from datasets import ClassLabel, Dataset, Features, Value

    kind = ClassLabel(names=names) if names else Value("int64")
    return Dataset.from_dict(
        {"sentence": texts, "label": labels}, Features({"sentence": Value("string"), "label": kind})
    )


def test_class_names_keep_the_order_the_dataset_declares() -> None:
    texts = [text for number in range(10) for text in (f"x{number}", f"y{number}", None)]
    train = dataset(texts, [1, 0, 1] * 10, ["worse", "better"])

    splits = prepare(tables_of({"train": train}, "ana/tiny", configured("ana/tiny")), configured("ana/tiny"))

    assert splits.label_names == ("worse", "better")
    assert splits.counts["train"]["dropped"]["empty"] == 10
    assert {
        (text[0], splits.label_names[label])
        for text, label in zip(splits.train.texts, splits.train.labels, strict=True)
    } == {
        ("x", "better"),
        ("y", "worse"),
    }


def test_the_test_split_of_glue_has_no_answers_and_is_left_out() -> None:
    names = ["negative", "positive"]
    found = tables_of(
        {
            "train": dataset(["x", "y"] * 10, [1, 0] * 10, names),
            "validation": dataset(["v"], [1], names),
            "test": dataset(["t", "u"], [-1, -1], names),
        },
        "glue",
        configured("glue"),
    )

    splits = prepare(found, configured("glue"))

    assert splits.test is None
    assert "test split left out: none of its 2 rows has a label" in splits.notes


def test_minus_one_among_class_names_is_a_missing_label() -> None:
    train = dataset(["x", "y", "z"], [1, 0, -1], ["no", "yes"])

    with pytest.raises(DataError, match="1 of 3 rows in use has no label: row 2"):
        prepare(tables_of({"train": train}, "ana/tiny", configured("ana/tiny")), configured("ana/tiny"))


def test_s75_an_empty_split_of_the_hub_is_refused() -> None:
    found = tables_of({"train": dataset([], [], ["no", "yes"])}, "ana/tiny", configured("ana/tiny"))

    with pytest.raises(DataError, match="the split has no rows"):
        prepare(found, configured("ana/tiny"))


def test_splits_may_be_named_and_those_not_used_are_said() -> None:
    splits = {
        name: dataset(["x", "y"] * 10, [1, 0] * 10) for name in ("training", "validation_matched", "unsupervised")
    }
    keys = {"train_split": "training", "validation_split": "validation_matched"}

    found = tables_of(splits, "ana/nli", configured("ana/nli", **keys))

    assert set(found.tables) == {"train", "validation"}
    assert found.notes == ("splits not used: unsupervised",)


def test_a_missing_train_split_names_those_there_are() -> None:
    with pytest.raises(DataError, match="there is no train split; there is test"):
        tables_of({"test": dataset(["x"], [1])}, "ana/tiny", configured("ana/tiny"))
