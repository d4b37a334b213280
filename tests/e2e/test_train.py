"""One command trains, and everything about the run is kept (issue: end state and record)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.torch import load_file, save_file

from finetune30.config import load
from tests import tiny
from tests.e2e.conftest import Ended, Workplace

Cli = Callable[..., Ended]


def test_a_run_leaves_everything_behind_and_says_so_in_its_last_line(workplace: Workplace, run_cli: Cli) -> None:
    ended = run_cli("train", str(workplace.config), "--json")

    assert ended.code == 0, ended.err
    answer = ended.json
    folder = workplace.path / answer["folder"]
    assert answer["status"] == "SUCCESS"
    assert folder == workplace.results / answer["id"]
    assert workplace.made() == sorted([answer["id"], *(n for n in workplace.made() if n.startswith("experiments.db"))])
    assert {p.name for p in folder.iterdir()} == {
        "config.yaml",
        "environment.json",
        "metrics.json",
        "quality.json",
        "logs.txt",
        "progress.jsonl",
        "artifacts",
    }
    assert {p.name for p in (folder / "artifacts" / "final_model").iterdir()} >= {
        "adapter_config.json",
        "adapter_model.safetensors",
        "config.json",
        "tokenizer.json",
        "README.md",
        "manifest.json",
    }
    _check_metrics(folder, answer["accuracy"])
    _check_predictions(folder)
    _check_records(workplace, folder)


def _check_metrics(folder: Path, accuracy: float) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["eval"]["accuracy"] == accuracy
    assert {"loss", "f1_macro", "precision_macro", "recall_macro", "per_class", "confusion", "roc_auc"} <= set(
        metrics["eval"]
    )
    assert metrics["test"]["rows"] == 16
    train = metrics["train"]
    assert train["steps"] == train["total_steps"] == 12
    assert train["runtime_s"] > 0
    assert train["tokens_per_s"] > 0
    assert train["samples_per_s"] > 0
    assert train["loss"] > 0
    assert metrics["system"]["memory_bytes_peak"] > 1 << 20
    assert metrics["system"]["device"] == "cpu"
    assert metrics["data"]["train"]["labels"] == {"negative": 48, "positive": 48}
    assert len(metrics["data"]["sha256"]) == 64


def _check_predictions(folder: Path) -> None:
    table = pq.read_table(folder / "artifacts" / "eval_predictions.parquet")
    metrics = json.loads((folder / "metrics.json").read_text())
    rows = table.to_pydict()
    assert rows["row"] == list(range(32))
    right = sum(a == b for a, b in zip(rows["label"], rows["predicted"], strict=True))
    assert right / 32 == pytest.approx(metrics["eval"]["accuracy"])
    assert all(sum(p) == pytest.approx(1, abs=1e-5) for p in rows["probabilities"])
    assert json.loads(table.schema.metadata[b"id2label"]) == {"0": "negative", "1": "positive"}


def _check_records(workplace: Workplace, folder: Path) -> None:
    row = workplace.row(folder.name)
    assert row.status == "SUCCESS"
    assert row.dataset_hash == json.loads((folder / "metrics.json").read_text())["data"]["sha256"]
    assert row.progress is not None
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["seed"] == 3
    assert environment["versions"]["peft"]
    data = f"data.dataset_name={workplace.path / 'reviews'}"  # an absolute path lasts longer than a relative one
    assert load(folder / "config.yaml") == load(workplace.config, [data])
    journal = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
    assert [e["step"] for e in journal if e["kind"] == "step"] == list(range(1, 13))
    log = (folder / "logs.txt").read_text()
    for words in (
        "device: cpu",
        "model: ",
        "data: ",
        "step 12/12 loss",
        "evaluation at step 12",
        "checkpoint-12 saved",
    ):
        assert words in log


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_the_four_architectures_train_save_and_reload_with_peft_alone(
    workplace: Workplace, run_cli: Cli, tiny_model, architecture: str
) -> None:
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    ended = run_cli("train", str(workplace.config), "--json", "--set", f"model.name={tiny_model(architecture)}")
    assert ended.code == 0, ended.err
    folder = workplace.path / ended.json["folder"] / "artifacts" / "final_model"

    config = AutoConfig.from_pretrained(folder)
    base = AutoModelForSequenceClassification.from_pretrained(tiny_model(architecture), config=config)
    model = PeftModel.from_pretrained(base, folder).eval()
    texts, labels = zip(*tiny.rows(96 + 32 + 16)[96:128], strict=True)
    batch = AutoTokenizer.from_pretrained(folder)(list(texts), padding=True, return_tensors="pt")
    predicted = [config.id2label[int(i)] for i in model(**batch).logits.argmax(-1)]

    right = sum(p == q for p, q in zip(predicted, labels, strict=True))
    assert right / 32 == pytest.approx(ended.json["accuracy"])


def test_predict_answers_with_the_newest_run_and_runs_are_listed(workplace: Workplace, run_cli: Cli) -> None:
    name = run_cli("train", str(workplace.config), "--json").json["id"]

    texts = [text for text, _ in tiny.rows(96 + 32 + 16)[96:128]]
    answer = run_cli("predict", "--json", *texts).json
    evaluated = pq.read_table(workplace.results / name / "artifacts" / "eval_predictions.parquet").to_pydict()
    assert answer["experiment"] == name
    assert [p["label"] for p in answer["predictions"]] == evaluated["predicted"]
    assert [p["probability"] for p in answer["predictions"]] == pytest.approx(
        [max(p) for p in evaluated["probabilities"]], abs=1e-4
    )
    first = answer["predictions"][0]
    assert run_cli("predict", "--exp", name, texts[0]).out.startswith(f"{first['label_name']}\t")

    registered = run_cli("models", "register", "films", name, "--alias", "champion", "--json").json
    assert (registered["model"], registered["number"]) == ("films", 1)
    for address in ("films@champion", "films/1", "models:/films@latest"):
        asked = run_cli("predict", "--exp", address, "--json", texts[0]).json
        assert asked["predictions"] == [first]
        assert (asked["model"]["model"], asked["model"]["version"]) == ("films", 1)
        assert asked["model"]["sha256"] == registered["sha256"]
    assert answer["model"] is None

    listed = run_cli("runs", "list", "--json").json["runs"]
    assert [r["id"] for r in listed] == [name]
    assert run_cli("runs", "show", name, "--json").json["status"] == "SUCCESS"
    assert "evaluation at step 12" in run_cli("runs", "logs", name).out


def test_the_specs_flags_override_the_file_and_unknown_ids_are_answered_at_once(
    workplace: Workplace, run_cli: Cli
) -> None:
    ended = run_cli(
        "train",
        "--config",
        str(workplace.config),
        "--experiment_name",
        "Über film",
        "--learning_rate",
        "1e-3",
        "--epochs",
        "1",
        "--train_samples",
        "40",
        "--device",
        "cpu",
        "--json",
    )
    assert ended.code == 0, ended.err
    written = yaml.safe_load((workplace.path / ended.json["folder"] / "config.yaml").read_text())
    assert ended.json["id"].startswith("uber-film_") or "film_" in ended.json["id"]
    assert written["training"]["learning_rate"] == 0.001
    assert written["training"]["num_train_epochs"] == 1
    assert written["data"]["train_samples"] == 40
    metrics = json.loads((workplace.path / ended.json["folder"] / "metrics.json").read_text())
    assert metrics["train"]["steps"] == 3

    missing = run_cli("train", "--resume", "nobody_20260101_000000", "--json")
    assert missing.code == 2
    assert missing.json["error"]["code"] == "not_found"


def test_a_run_that_fails_is_a_row_with_reason_and_hint(workplace: Workplace, run_cli: Cli, tiny_model) -> None:
    model = Path(shutil.copytree(tiny_model("distilbert"), workplace.path / "broken"))
    weights = load_file(model / "model.safetensors")
    weights["transformer.layer.0.ffn.lin1.bias"][0] = float("nan")
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})

    ended = run_cli("train", str(workplace.config), "--json", "--set", f"model.name={model}")

    assert ended.code == 1
    assert ended.json["status"] == "FAILURE"
    row = workplace.row(ended.json["id"])
    assert row.status == "FAILURE"
    assert row.error is not None
    assert row.error["code"] == ended.json["error"]["code"] == "diverged"
    assert "lower it" in (row.error["hint"] or "")
    assert "failed [diverged]" in (workplace.results / row.id / "logs.txt").read_text()
    assert "Traceback" not in ended.err
    assert not (workplace.results / row.id / "artifacts" / "final_model").exists()
    assert run_cli("predict", "--exp", row.id, "a text").code == 2


def test_a_run_made_with_relative_paths_is_used_from_another_directory(
    workplace: Workplace, run_cli: Cli, tiny_model, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_model("distilbert"), workplace.path / "model")
    made = run_cli("train", str(workplace.config), "--json", "--epochs", "1", "--set", "model.name=model")
    assert made.code == 0, made.err
    (workplace.path / "elsewhere").mkdir()
    monkeypatch.chdir(workplace.path / "elsewhere")
    monkeypatch.setenv("RESULTS_DIR", str(workplace.results))

    answer = run_cli("predict", "--json", "a lovely film", "x " * 60).json

    assert [p["truncated"] for p in answer["predictions"]] == [False, True]
    written = yaml.safe_load((workplace.results / made.json["id"] / "config.yaml").read_text())
    again = run_cli("train", str(workplace.results / made.json["id"] / "config.yaml"), "--json")
    assert again.code == 0, again.err
    assert again.json["accuracy"] == made.json["accuracy"]
    assert Path(written["data"]["dataset_name"]).is_absolute()


def test_predict_says_when_a_text_is_empty_or_a_runs_files_are_gone(workplace: Workplace, run_cli: Cli) -> None:
    made = run_cli("train", str(workplace.config), "--json", "--epochs", "1").json
    assert run_cli("predict", "  ").code == 2
    shutil.rmtree(workplace.path / made["folder"])
    gone = run_cli("predict", "a text", "--json")
    assert gone.code == 2
    assert "are gone" in gone.err
    assert f"finetune30 runs delete {made['id']}" in gone.err
