"""Values and keys: what is refused, in which words, and all of it at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetune30.config import ExperimentConfig, from_mapping, load
from finetune30.errors import ConfigError


def refused(path: str, value: object) -> str:
    """The message that refuses this value."""
    with pytest.raises(ConfigError) as caught:
        from_mapping(below(path, value))
    assert str(caught.value).startswith(f"configuration: {path}: "), caught.value
    return caught.value.message


def below(path: str, value: object) -> dict[str, object]:
    for name in reversed(path.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def value_of(config: ExperimentConfig, path: str) -> object:
    found: object = config
    for name in path.split("."):
        found = getattr(found, name)
    return found


NUMBERS = [
    "seed",
    "lora.r",
    "lora.lora_alpha",
    "lora.lora_dropout",
    "lora.loraplus_lr_ratio",
    "model.threshold",
    "data.validation_size",
    "data.max_length",
    "data.train_samples",
    "data.validation_rules.min_text_length",
    "training.learning_rate",
    "training.num_train_epochs",
    "training.max_steps",
    "training.per_device_train_batch_size",
    "training.warmup_steps",
    "training.weight_decay",
    "training.max_grad_norm",
    "training.fastest_within",
]


@pytest.mark.parametrize("path", NUMBERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e308 * 10, "NaN", 10**400])
def test_s52_no_number_is_nan_or_infinite(path: str, value: object) -> None:
    message = refused(path, value)

    assert "expected" in message
    json.dumps(message, allow_nan=False)


@pytest.mark.parametrize("value", [-1, 0, 1.5, True, "8", None, 2**63, [8], {}])
def test_s54_batch_size_is_a_whole_number_and_nothing_else(value: object) -> None:
    assert "expected auto or a whole number from 1 to 4096" in refused("training.per_device_train_batch_size", value)


@pytest.mark.parametrize("path", NUMBERS)
@pytest.mark.parametrize("value", [True, "8", [], {}])
def test_s54_true_and_quoted_digits_are_no_numbers(path: str, value: object) -> None:
    assert "expected" in refused(path, value)


@pytest.mark.parametrize("path", [p for p in NUMBERS if p not in ("seed",)])
def test_s54_numbers_beyond_a_database_integer_are_refused(path: str) -> None:
    assert "expected" in refused(path, 2**63)


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("training.learning_rate", [0, -1e-4, 1.0001]),
        ("training.num_train_epochs", [0, -1, 1001, 10**9]),
        ("training.max_steps", [0, -2, 10**8 + 1]),
        ("training.warmup_steps", [-0.1, 1.0, 1.5, 10.0]),
        ("training.gradient_accumulation_steps", [0, 1025]),
        ("training.weight_decay", [-0.1, 1.1]),
        ("training.max_grad_norm", [-1]),
        ("training.early_stopping_threshold", [-0.1, 1.1]),
        ("training.fastest_within", [-0.1, 1.1]),
        ("training.logging_steps", [0]),
        ("lora.r", [0, 513, 10**5]),
        ("lora.lora_alpha", [0, -16]),
        ("lora.lora_dropout", [-0.1, 1, 1.0]),
        ("lora.loraplus_lr_ratio", [0.5]),
        ("lora.layers_to_transform", [-1, [], [0, -1], [True]]),
        ("data.max_length", [7, 8193]),
        ("data.validation_size", [0, 0.5, 1]),
        ("data.train_samples", [0, -5]),
        ("data.validation_rules.min_rows_per_label", [-1]),
        ("model.num_labels", [1, 0, 10_001]),
        ("model.threshold", [0, 1, 1.0, -0.5]),
        ("seed", [-1, 2**32]),
    ],
)
def test_s55_values_out_of_range_are_refused_by_key(path: str, values: list[object]) -> None:
    for value in values:
        assert "expected" in refused(path, value)


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("training.learning_rate", [1e-12, 1, 1.0]),
        ("training.num_train_epochs", [0.01, 1, 1000]),
        ("training.max_steps", [-1, 1, 10**8]),
        ("training.warmup_steps", [0, 0.0, 0.999, 1, 500]),
        ("lora.r", [1, 512]),
        ("lora.lora_alpha", [1]),
        ("lora.lora_dropout", [0, 0.0, 0.99]),
        ("lora.layers_to_transform", [0, [0, 1]]),
        ("data.max_length", [8, 8192]),
        ("data.validation_size", [0.001, 0.499]),
        ("data.validation_rules.min_rows_per_label", [0, 1]),
        ("data.label_columns", [None, ["toxic"], ["toxic", "insult"]]),
        ("data.label_separator", [None, "|", ",", ";;"]),
        ("data.on_quality_fail", ["stop", "warn"]),
        ("model.num_labels", [2, 10_000]),
        ("model.threshold", [0.001, 0.999]),
        ("seed", [0, 2**32 - 1]),
        ("training.device", ["auto", "cpu", "cuda", "cuda:3", "mps"]),
        ("training.bf16", ["auto", True, False]),
        (
            "lora.init_lora_weights",
            [True, False, "gaussian", "pissa", "pissa_niter_16", "olora", "orthogonal"],
        ),
        ("lora.target_modules", [None, "all-linear", ["q_lin", "layer.0.query"]]),
        ("training.class_weights", [None, "balanced", {"pos": 2}]),
    ],
)
def test_s55_boundary_values_are_accepted(path: str, values: list[object]) -> None:
    for value in values:
        assert value_of(from_mapping(below(path, value)), path) == value


def test_whole_warmup_steps_stay_whole_numbers() -> None:
    assert type(from_mapping(below("training.warmup_steps", 10)).training.warmup_steps) is int


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("training.device", "gpu"),
        ("training.device", "cuda:"),
        ("training.bf16", "true"),
        ("training.bf16", 1),
        ("training.eval_strategy", "never"),
        ("training.lr_scheduler_type", "reduce_lr_on_plateau"),
        ("training.report_to", "comet"),
        ("training.report_to", ["tensorboard", 1]),
        ("training.class_weights", {}),
        ("training.class_weights", {"pos": 0}),
        ("training.class_weights", {"pos": True}),
        ("lora.init_lora_weights", "eva"),
        ("lora.init_lora_weights", "pissa_niter_0"),
        ("lora.bias", True),
        ("model.name", ""),
        ("model.name", 5),
        ("model.name", "a\nb"),
        ("model.name", "\ud800"),
        ("model.name", " x"),
        ("data.text_column", ["text"]),
        ("data.text_pair_column", ["answer"]),
        ("data.label_columns", []),
        ("data.label_columns", "toxic"),
        ("data.label_separator", ""),
        ("data.on_quality_fail", "ignore"),
    ],
)
def test_other_values_are_refused_by_key(path: str, value: object) -> None:
    assert refused(path, value)


@pytest.mark.parametrize("value", ["(a+)+$", ".*", "q_lin", ["(a+)+$"], ["q_lin", "v lin"], [""], ["a" * 201], []])
@pytest.mark.parametrize("key", ["target_modules", "exclude_modules", "modules_to_save"])
def test_s58_module_names_are_names_and_never_regular_expressions(key: str, value: object) -> None:
    assert "module names (letters, digits, _ and .)" in refused(f"lora.{key}", value)


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("training.learning_rte", "did you mean training.learning_rate?"),
        ("training.learning-rate", "did you mean training.learning_rate?"),
        ("training.Learning_Rate", "did you mean training.learning_rate?"),
        ("lora.learning_rate", "learning_rate belongs at training.learning_rate"),
        ("lora.Learning-Rate", "Learning-Rate belongs at training.learning_rate"),
        ("lora.learning_rte", "did you mean training.learning_rate?"),
        ("learning_rate", "learning_rate belongs at training.learning_rate"),
        ("remove_html", "remove_html belongs at data.validation_rules.remove_html"),
        ("data.min_text_length", "min_text_length belongs at data.validation_rules.min_text_length"),
        ("revision", "revision belongs at model.revision or data.revision"),
        ("lora_rank", "lora_rank belongs at lora.r"),
        ("model.num_epochs", "num_epochs belongs at training.num_train_epochs"),
        ("trainings", "did you mean training?"),
        ("Lora", "did you mean lora?"),
        ("experimentname", "did you mean experiment_name?"),
        (
            "data.validation_rules.minimum",
            "the keys of data.validation_rules are min_text_length, max_text_length",
        ),
    ],
)
def test_s57_an_unknown_key_is_refused_with_the_nearest_one(path: str, advice: str) -> None:
    message = refused(path, "hunter2")

    assert message.startswith("unknown key; ")
    assert advice in message
    assert "hunter2" not in message


def test_s57_a_key_that_resembles_nothing_gets_no_advice() -> None:
    assert refused("xyzzy", 1) == "unknown key"


def test_a_dotted_key_is_explained() -> None:
    with pytest.raises(ConfigError, match="has a dot in a key"):
        from_mapping({"training.learning_rate": 1e-3})


def test_all_faults_of_a_file_are_told_together_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "experiment_name: ../x\n"
        "training:\n"
        "  learning_rte: 1e-4\n"
        "  eval_steps: 5\n"
        "lora:\n"
        "  r: 4\n"
        "  r: 8\n"
        "trainer: {a: 1}\n"
    )

    with pytest.raises(ConfigError) as caught:
        load(path, ["data.max_length=5"])

    first, *faults = str(caught.value).splitlines()
    assert first == f"{path} has 6 faults:"
    assert [fault.split(":")[0].strip() for fault in faults] == [
        "experiment_name (line 1)",
        "training.learning_rte (line 3)",
        "training.eval_steps (line 4)",
        "lora.r (line 7)",
        "trainer (line 8)",
        "data.max_length (--set)",
    ]


def test_one_fault_is_told_in_one_line_with_file_line_and_key(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("lora:\n  r: 0\n")

    with pytest.raises(ConfigError) as caught:
        load(path)

    assert str(caught.value) == f"{path}: lora.r (line 2): is 0, expected a whole number from 1 to 512"
    assert caught.value.code == "config_invalid"


def test_thousands_of_unknown_keys_are_counted_not_listed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping({f"key{i}": 1 for i in range(5000)})

    assert "has 5000 faults" in str(caught.value)
    assert "and 4970 more" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 32


@pytest.mark.parametrize("section", ["lora", "training", "data", "data.validation_rules"])
def test_a_section_is_a_mapping_or_empty(section: str) -> None:
    assert "expected keys below it, such as" in refused(section, 5)
    assert from_mapping(below(section, None)) == ExperimentConfig()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"training": {"eval_steps": 5}},
            "training.eval_steps: is 5, which needs training.eval_strategy: steps",
        ),
        ({"training": {"early_stopping_patience": 2, "eval_strategy": "no"}}, "leaves nothing to stop by"),
        ({"training": {"fp16": True, "bf16": True}}, "training.fp16: is true and so is training.bf16"),
        ({"training": {"fp16": True, "device": "cpu"}}, "float16 is never used on cpu"),
        ({"training": {"fp16": True, "device": "mps"}}, "float16 is never used on mps"),
        (
            {"data": {"validation_rules": {"min_text_length": 9, "max_text_length": 3}}},
            "expected min_text_length",
        ),
        (
            {"data": {"label_columns": ["toxic", "insult"], "label_column": "label"}},
            "data.label_columns: names columns of 0 and 1, and data.label_column is label; expected one of the two",
        ),
        ({"data": {"label_columns": ["toxic"], "label_separator": "|"}}, "data.label_separator is |; expected one"),
        ({"data": {"label_columns": ["toxic", "toxic"]}}, "names toxic twice, expected each column once"),
        (
            {"data": {"text_column": "question", "text_pair_column": "question"}},
            "data.text_pair_column: is question and so is data.text_column",
        ),
        ({"lora": {"r": 7, "init_lora_weights": "orthogonal"}}, "lora.r: is 7"),
        ({"lora": {"use_dora": True, "init_lora_weights": "pissa"}}, "lora.init_lora_weights: is pissa"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping(values)

    assert message in str(caught.value)


def test_a_rule_is_not_judged_by_a_value_that_is_wrong_itself() -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping({"training": {"eval_strategy": "stpes", "eval_steps": 5}})

    assert "eval_steps" not in str(caught.value)


def test_the_rules_hold_for_a_configuration_made_in_code() -> None:
    from finetune30.config.schema import Training

    with pytest.raises(ValueError, match=r"training\.fp16"):
        ExperimentConfig(training=Training(fp16=True, device="cpu"))
