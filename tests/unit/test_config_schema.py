"""The JSON schema, imports from other tools, and the verbs that show them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from finetune30.cli.config import app
from finetune30.config import ExperimentConfig, field_schema, import_config, json_schema, load
from finetune30.config.aliases import ALIASES
from finetune30.config.keys import keys, sections
from finetune30.config.tools import TOOLS
from finetune30.errors import ConfigError


def models() -> list[dict[str, object]]:
    schema = json_schema()
    return [schema, *schema["$defs"].values()]


def test_every_key_and_section_has_a_description_of_one_line_with_what_it_expects() -> None:
    for model in models():
        for name, part in model["properties"].items():
            assert part["description"], name
            assert "\n" not in part["description"], name
            assert "$ref" in part or name == "extends" or ". Expects " in part["description"], name


def test_the_schema_holds_every_key_its_default_and_nothing_else() -> None:
    def walk(values: dict[str, object], prefix: str) -> None:
        for name, value in values.items():
            part = field_schema(f"{prefix}{name}")
            if isinstance(value, dict) and f"{prefix}{name}" in sections():
                assert part["additionalProperties"] is False
                walk(value, f"{prefix}{name}.")
            else:
                assert part["default"] == value, name

    walk(ExperimentConfig().to_dict(), "")
    assert all(model["additionalProperties"] is False for model in models())


def test_a_section_of_the_schema_that_does_not_exist_gets_advice() -> None:
    with pytest.raises(ConfigError, match=r"did you mean training\.learning_rate"):
        field_schema("training.learning_rte")


def test_every_other_name_stands_for_a_key_and_hides_none() -> None:
    targets = {alias.key for alias in ALIASES.values()} | {a.key for tool in TOOLS for a in tool.table.values()}

    assert targets - {""} <= keys().keys()
    assert not ALIASES.keys() & keys().keys()


LLAMA_FACTORY = """\
### model
model_name_or_path: google-bert/bert-base-uncased
trust_remote_code: true
stage: sft
finetuning_type: lora
lora_rank: 4
lora_target: query,value
dataset: identity,alpaca_en_demo
cutoff_len: 20480
max_samples: 1000
output_dir: saves/x
logging_steps: 5
per_device_train_batch_size: 1
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
eval_steps: 500
plot_loss: true
"""
AXOLOTL = """\
base_model: NousResearch/Llama-3.2-1B
load_in_8bit: false
datasets:
  - path: stanfordnlp/imdb
    split: train
    type: alpaca
  - path: other
val_set_size: 0.05
adapter: lora
sequence_len: 512
lora_r: 16
lora_alpha: 32
lora_target_linear: true
wandb_project:
micro_batch_size: 2
num_epochs: 1
lr_scheduler: cosine
learning_rate: 0.0002
group_by_length: false
bf16: auto
evals_per_epoch: 1
special_tokens:
  pad_token: "<|end_of_text|>"
"""
AUTOTRAIN = """\
task: text_classification
base_model: google-bert/bert-base-uncased
project_name: autotrain-imdb
log: tensorboard
backend: local
data:
  path: stanfordnlp/imdb
  train_split: train
  valid_split: test
  column_mapping:
    text_column: review
    target_column: label
params:
  max_seq_length: 256
  epochs: 3
  batch_size: 4
  lr: 2e-5
  scheduler: linear
  gradient_accumulation: 2
  mixed_precision: fp16
hub:
  token: ${HF_TOKEN}
"""


@pytest.fixture
def write(tmp_path: Path):
    def written(text: str) -> Path:
        path = tmp_path / "theirs.yaml"
        path.write_text(text)
        return path

    return written


def test_a_llama_factory_file_is_imported(write) -> None:
    config, notes = import_config(write(LLAMA_FACTORY))

    assert config.model.name == "google-bert/bert-base-uncased"
    assert (config.lora.r, config.lora.lora_alpha) == (4, 8)
    assert config.lora.target_modules == ["query", "value"]
    assert (config.data.train_samples, config.data.max_length) == (1000, 128)
    assert (config.training.learning_rate, config.training.warmup_steps) == (1e-4, 0.1)
    assert (config.training.lr_scheduler_type, config.training.bf16) == ("cosine", True)
    assert config.training.eval_steps is None
    assert "LLaMA-Factory" in notes[0]
    assert "lora_rank read as lora.r: 4" in notes
    assert "lora_alpha is not given, which means twice lora_rank: lora.lora_alpha: 8" in notes
    assert "cutoff_len left out: is 20480, expected a whole number from 8 to 8192" in notes
    assert "plot_loss left out: has no meaning here" in notes
    assert any(note.startswith("dataset left out: names entries of dataset_info.json") for note in notes)


def test_an_axolotl_file_is_imported(write) -> None:
    config, notes = import_config(write(AXOLOTL))

    assert (config.lora.r, config.lora.lora_alpha, config.lora.target_modules) == (16, 32, "all-linear")
    assert (config.data.dataset_name, config.data.train_split) == ("stanfordnlp/imdb", "train")
    assert (config.data.max_length, config.data.validation_size) == (512, 0.05)
    assert (config.training.per_device_train_batch_size, config.training.num_train_epochs) == (2, 1)
    assert (config.training.eval_strategy, config.training.train_sampling_strategy) == ("epoch", "random")
    assert "datasets has 2 entries; one is possible, the first is read" in notes
    assert not any("wandb_project" in note for note in notes)


def test_an_autotrain_file_is_imported(write) -> None:
    config, notes = import_config(write(AUTOTRAIN))

    assert (config.experiment_name, config.model.name) == ("autotrain-imdb", "google-bert/bert-base-uncased")
    assert (config.data.dataset_name, config.data.validation_split) == ("stanfordnlp/imdb", "test")
    assert (config.data.text_column, config.data.label_column, config.data.max_length) == (
        "review",
        "label",
        256,
    )
    assert (config.training.learning_rate, config.training.num_train_epochs) == (2e-5, 3)
    assert (config.training.gradient_accumulation_steps, config.training.fp16) == (2, True)
    assert config.training.report_to == ["tensorboard"]
    assert "hub.token left out: has no meaning here" in notes


@pytest.mark.parametrize("text", [LLAMA_FACTORY, AXOLOTL, AUTOTRAIN])
def test_every_key_of_an_imported_file_is_accounted_for(write, text: str) -> None:
    path = write(text)
    _, notes = import_config(path)

    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and value and not name.startswith((" ", "#")):
            assert any(note.startswith(name) for note in notes), name


@pytest.mark.parametrize("text", [LLAMA_FACTORY, AXOLOTL, AUTOTRAIN])
def test_training_with_another_tools_file_points_to_import(write, text: str) -> None:
    with pytest.raises(ConfigError, match="finetune30 config import"):
        load(write(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\n", "is not a file of LLaMA-Factory, Axolotl, AutoTrain"),
        ("lora: {r: 4}\ntraining: {seed: 1}\n", "use it as it is"),
        ("base: &b {a: 1}\nstage: sft\n", "write anchors, merged keys and tags out"),
        ("stage: sft\nstage: pt\ntemplate: x\n", "is given twice"),
    ],
)
def test_what_cannot_be_imported_says_why(write, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        import_config(write(text))

    assert message in str(caught.value)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_schema_prints_json_or_yaml_of_all_or_of_one_key() -> None:
    assert json.loads(run("schema").stdout) == json_schema()
    assert json.loads(run("schema", "--field", "lora.r").stdout)["maximum"] == 512
    assert "maximum: 512" in run("schema", "--field", "lora.r", "--format", "yaml").stdout


def test_show_fills_the_defaults_in_and_its_yaml_loads_back(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("training: {lr: 0.25}\n")

    shown = run("show", str(path), "--set", "lora.r=4")
    (tmp_path / "full.yaml").write_text(shown.stdout)

    assert load(tmp_path / "full.yaml") == load(path, ["lora.r=4"])
    assert shown.stderr == "note: training.lr read as training.learning_rate\n"
    assert json.loads(run("show", str(path), "--json").stdout)["training"]["learning_rate"] == 0.25


def test_import_prints_yaml_and_says_the_rest_on_standard_error(write, tmp_path: Path) -> None:
    done = run("import", str(write(AUTOTRAIN)))
    (tmp_path / "ours.yaml").write_text(done.stdout)

    assert load(tmp_path / "ours.yaml").data.max_length == 256
    assert "note: hub.token left out" in done.stderr


def test_import_never_overwrites(write, tmp_path: Path) -> None:
    theirs, out = write(AUTOTRAIN), tmp_path / "out.yaml"

    assert run("import", str(theirs), "--out", str(out)).exit_code == 0
    before = out.read_text()
    again = run("import", str(theirs), "--out", str(out))

    assert isinstance(again.exception, ConfigError)
    assert "never overwritten" in str(again.exception)
    assert out.read_text() == before


@pytest.mark.parametrize("out", ["nowhere/out.yaml", "."])
def test_import_to_a_place_that_cannot_be_written_says_so(write, tmp_path: Path, out: str) -> None:
    done = run("import", str(write(AUTOTRAIN)), "--out", str(tmp_path / out))

    assert isinstance(done.exception, ConfigError)
