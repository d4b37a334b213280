"""Files made for fine-tuning a chat model are read as rows of text and label; two uploads make train and validation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests import tiny

from finetune30.config import from_mapping
from finetune30.data import sources
from finetune30.data.uploads import Upload, UploadStore
from finetune30.data.versions import VersionStore
from finetune30.errors import DataError, NotFound


def said(text: Any, label: Any = "good", *before: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = {"role": "assistant", "content": label, **more}
    return {"messages": [*before, {"role": "user", "content": text}, answer]}


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def table(path: Path, **data: Any) -> Any:
    return sources.find(from_mapping({"data": {"dataset_name": str(path), **data}})).tables["train"]


def test_a_conversation_is_a_text_and_its_label(tmp_path: Path) -> None:
    system = {"role": "system", "content": "Say good or bad."}
    parts = [{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}]
    rows = [said("fine", "good", system), said(parts, "bad"), {**said("well"), "extra": 1}]

    found = table(written(tmp_path / "chat.jsonl", rows))

    assert list(found.texts) == ["fine", "in parts", "well"]
    assert [found.labels.cells[code] for code in found.labels.codes] == ["good", "bad", "good"]


def test_a_column_that_is_only_called_messages_stays_what_it_is(tmp_path: Path) -> None:
    rows = [{"messages": "hello", "label": "a"}, {"messages": "there", "label": "b"}]

    assert list(table(written(tmp_path / "rows.jsonl", rows), text_column="messages").texts) == ["hello", "there"]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"messages": []}, "of nobody"),
        ({"messages": [{"role": "user", "content": "a"}]}, "of user"),
        (said("a", "b", {"role": "user", "content": "c"}), "of user, user, assistant"),
        (said("a", "b", {"role": "<x>", "content": "c"}), "of another, user, assistant"),
        (said("a", "b", weight=0), "weight 0"),
        (said("a", None), "no text"),
        (said([{"type": "image_url", "image_url": "x"}]), "no text"),
        ({"messages": ["a", "b"]}, "no object with a role"),
        ({"messages": [{"role": 1, "content": "c"}]}, "no object with a role"),
    ],
)
def test_what_is_not_one_question_and_one_answer_is_refused_with_its_line(tmp_path: Path, row: Any, told: str) -> None:
    with pytest.raises(DataError, match=told) as refusal:
        table(written(tmp_path / "chat.jsonl", [said("first"), row]))

    assert "line 2" in str(refusal.value.where)


def test_a_row_of_another_shape_behind_conversations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no 'text'"):
        table(written(tmp_path / "chat.jsonl", [said("first"), {"prompt": "a"}]))


def upload(store: UploadStore, rows: list[Any]) -> Upload:
    options: dict[str, Any] = {"purpose": "fine-tune", "limit_bytes": 0, "quota_bytes": 0, "quota_files": 0}
    with store.receive("ana", "rows.jsonl", "jsonl", **options) as receiving:
        receiving.write("".join(json.dumps(row) + "\n" for row in rows).encode())
        return receiving.finish()


def find(tmp_path: Path, *uploads: str) -> Any:
    config = from_mapping({"data": {"dataset_name": f"upload:{'+'.join(uploads)}"}})
    return sources.load(config, VersionStore(tmp_path))


def test_a_second_upload_validates_the_first(tmp_path: Path) -> None:
    store, rows = UploadStore(tmp_path), tiny.rows(48)
    train = upload(store, [said(text, label) for text, label in rows[:32]])
    validation = upload(store, [{"text": text, "label": label} for text, label in rows[32:]])

    found = find(tmp_path, train.id, validation.id)

    assert (len(found.train.texts), len(found.validation.texts)) == (32, 16)
    assert list(found.validation.texts) == [text for text, _ in rows[32:]]


def test_uploads_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    store, rows = UploadStore(tmp_path), tiny.rows(48)
    train = upload(store, [said(text, label) for text, label in rows])
    other = upload(store, [{"review": text, "stars": label} for text, label in rows])

    with pytest.raises(DataError, match="no column 'text'"):
        find(tmp_path, train.id, other.id)
    with pytest.raises(DataError, match="3 uploads are named"):
        find(tmp_path, train.id, train.id, train.id)
    with pytest.raises(NotFound):
        find(tmp_path, train.id, "ds-0000000000000000")
