"""Files over files, overrides over files, and the files that come with the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from finetune30.config import ExperimentConfig, from_mapping, load
from finetune30.config.keys import keys
from finetune30.config.reading import read_text
from finetune30.errors import ConfigError

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "config").glob("*.yaml"))


@pytest.fixture
def write(tmp_path: Path):
    def written(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return written


def test_default_yaml_is_the_embedded_default_and_holds_every_key() -> None:
    document = read_text((ROOT / "config/default.yaml").read_text(encoding="utf-8"), "default.yaml")

    assert load(ROOT / "config/default.yaml") == ExperimentConfig()
    assert {path for path in map(".".join, document.lines) if path in keys()} == keys().keys()


def test_the_files_of_the_specification_are_all_there() -> None:
    assert {path.stem for path in FILES} >= {
        "default",
        "albert",
        "bert_chinese",
        "distilbert",
        "distilbert_optimized",
        "roberta",
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_in_config_loads_and_round_trips(path: Path, write) -> None:
    config = load(path)

    assert load(write("again.yaml", config.to_yaml())) == config
    assert config.notes == ()


@pytest.mark.parametrize("path", [path for path in FILES if path.stem != "default"], ids=lambda path: path.stem)
def test_every_other_file_extends_the_default_and_names_another_model(path: Path) -> None:
    assert path.read_text(encoding="utf-8").count("extends: default.yaml\n") == 1
    assert load(path).model.name != ExperimentConfig().model.name
    assert load(path).experiment_name != ExperimentConfig().experiment_name


def test_distilbert_yaml_holds_the_values_of_the_specification() -> None:
    config = load(ROOT / "config/distilbert.yaml")

    assert (config.model.name, config.model.num_labels) == ("distilbert-base-uncased", 2)
    assert (config.training.learning_rate, config.training.num_train_epochs) == (5e-4, 1)
    assert config.training.per_device_train_batch_size == 2
    assert (config.lora.r, config.lora.lora_alpha, config.lora.lora_dropout) == (8, 16, 0.1)
    assert config.lora.target_modules == ["q_lin", "v_lin"]
    assert (config.data.dataset_name, config.data.dataset_config) == ("nyu-mll/glue", "sst2")


def test_without_a_file_the_default_of_the_working_directory_is_taken(write, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert load() == ExperimentConfig()

    write("config/default.yaml", "seed: 7\n")

    assert load().seed == 7
    assert load(None, ["seed=8"]).seed == 8


def test_extends_chains_relative_to_each_file_and_the_nearest_value_wins(write) -> None:
    write("base.yaml", "seed: 1\nlora: {r: 2, lora_alpha: 3}\n")
    write("sub/middle.yaml", "extends: ../base.yaml\nlora: {r: 4}\n")
    top = write("top.yaml", "extends: sub/middle.yaml\nlora: {lora_dropout: 0.0}\n")

    config = load(top)

    assert (config.seed, config.lora.r, config.lora.lora_alpha, config.lora.lora_dropout) == (1, 4, 3, 0.0)


def test_extends_in_a_circle_is_refused(write) -> None:
    write("a.yaml", "extends: b.yaml\n")
    path = write("b.yaml", "extends: ./a.yaml\n")

    with pytest.raises(ConfigError, match="extends itself"):
        load(path)


def test_extends_in_a_circle_of_links_is_refused(write, tmp_path: Path) -> None:
    path = write("a.yaml", "extends: link/a.yaml\n")
    (tmp_path / "link").symlink_to(tmp_path)

    with pytest.raises(ConfigError, match="a chain of more than 8 files"):
        load(path)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("/dev/zero", "is a pipe"),
        (".", "is a folder"),
        ("nothing.yaml", "which is not in"),
        ("https://x.org/a.yaml", "is a URL"),
        ("[a.yaml]", "expected the path"),
        ('"a\\0b"', "which is not in"),
    ],
)
def test_extends_takes_regular_files_only(write, base: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(write("a.yaml", f"extends: {base}\n"))


def test_a_fault_of_an_extended_file_names_that_file(write, tmp_path: Path) -> None:
    write("base.yaml", "seed: 1\nlora: {r: 0}\n")
    path = write("top.yaml", "extends: base.yaml\n")

    with pytest.raises(ConfigError) as caught:
        load(path)

    assert f"lora.r ({tmp_path / 'base.yaml'} line 2): is 0" in str(caught.value)
    assert load(path, ["lora.r=4"]).lora.r == 4


def test_extends_works_in_files_only() -> None:
    with pytest.raises(ConfigError, match="works in a configuration file only"):
        from_mapping({"extends": "/etc/passwd"})
    with pytest.raises(ConfigError, match="works in a configuration file only"):
        load(ROOT / "config/default.yaml", ["extends=x.yaml"])


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("training.eval_strategy=no", "training.eval_strategy", "no"),
        ("lora.target_modules=[q_lin,v_lin]", "lora.target_modules", ["q_lin", "v_lin"]),
        ("lora.target_modules=null", "lora.target_modules", None),
        ("training.learning_rate=1e-4", "training.learning_rate", 1e-4),
        ("training.class_weights={no: 1, yes: 2.5}", "training.class_weights", {"no": 1.0, "yes": 2.5}),
        ("data.dataset_name=C:\\data: mine #1", "data.dataset_name", "C:\\data: mine #1"),
        ("data.dataset_name=a=b", "data.dataset_name", "a=b"),
        ("experiment_name=2024", "experiment_name", "2024"),
        ("experiment_name=no", "experiment_name", "no"),
        ('experiment_name="two words"', "experiment_name", "two words"),
        ("model.revision=1e10", "model.revision", "1e10"),
        ("model.base_model=x/y", "model.name", "x/y"),
        ("training.bf16=false", "training.bf16", False),
        ("training.max_steps=-1", "training.max_steps", -1),
        ("training.report_to=tensorboard", "training.report_to", ["tensorboard"]),
        ("lora={r: 4}", "lora.r", 4),
    ],
)
def test_an_override_is_read_as_a_yaml_scalar(override: str, path: str, value: object) -> None:
    found: object = load(FILES[0], [override])
    for name in path.split("."):
        found = getattr(found, name)

    assert found == value


def test_later_overrides_win_over_earlier_ones_and_over_the_file(write) -> None:
    path = write("a.yaml", "training: {learning_rate: 0.1}\n")

    config = load(path, ["training.learning_rate=0.2", "training.lr=0.3"])

    assert config.training.learning_rate == 0.3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lora.r", "is not KEY=VALUE"),
        ("=8", "is not KEY=VALUE"),
        ("lora.r=", "has no value"),
        ("lora.r=[1", "is not valid YAML"),
        ("lora.r=8.5", "lora.r: is 8.5"),
        ("lora.rr=8", "did you mean lora.r"),
        ("lora=null", "expected keys below it"),
        ("..=1", "unknown key"),
        ("training.eval_strategy=[&a x, *a]", "anchor"),
        ("lora.use_dora=no", "expected true or false"),
    ],
)
def test_a_bad_override_is_refused_by_name(override: str, message: str, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(None, [override])

    assert message in str(caught.value)
    assert "--set" in str(caught.value)


def test_extends_default_works_in_any_folder_and_a_misspelt_one_says_so(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: default.yaml\nseed: 5\n")
    assert load(tmp_path / "mine.yaml") == ExperimentConfig(seed=5)

    (tmp_path / "typo.yaml").write_text("extends: defualt.yaml\nseed: 5\n")
    with pytest.raises(ConfigError, match=r"typo\.yaml: extends: names defualt\.yaml.*did you mean default\.yaml\?"):
        load(tmp_path / "typo.yaml")
