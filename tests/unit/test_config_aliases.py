"""Names of older transformers and of other tools: read as ours, and said."""

from __future__ import annotations

import pytest

from finetune30.config import from_mapping
from finetune30.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "path", "value"),
    [
        ({"training": {"warmup_ratio": 0.1}}, "training.warmup_steps", 0.1),
        ({"training": {"group_by_length": True}}, "training.train_sampling_strategy", "group_by_length"),
        ({"training": {"group_by_length": False}}, "training.train_sampling_strategy", "random"),
        ({"training": {"no_cuda": True}}, "training.device", "cpu"),
        ({"training": {"use_cpu": True}}, "training.device", "cpu"),
        ({"training": {"use_cpu": False}}, "training.device", "auto"),
        ({"training": {"evaluation_strategy": "no"}}, "training.eval_strategy", "no"),
        ({"training": {"seed": 7}}, "seed", 7),
        ({"training": {"per_gpu_train_batch_size": 4}}, "training.per_device_train_batch_size", 4),
        ({"training": {"num_epochs": 2}}, "training.num_train_epochs", 2),
        ({"training": {"micro_batch_size": 2}}, "training.per_device_train_batch_size", 2),
        ({"training": {"output_dir": "out", "logging_dir": "x"}}, "training.logging_steps", 10),
        ({"training": {"overwrite_output_dir": True, "save_total_limit": 3}}, "training.save_steps", None),
        ({"lora": {"lora_rank": 4}}, "lora.r", 4),
        ({"lora": {"lora_target": "all"}}, "lora.target_modules", "all-linear"),
        ({"lora": {"lora_target": "q_lin,v_lin"}}, "lora.target_modules", ["q_lin", "v_lin"]),
        ({"lora": {"lora_target_linear": True}}, "lora.target_modules", "all-linear"),
        ({"lora": {"task_type": "SEQ_CLS"}}, "lora.bias", "none"),
        ({"data": {"cutoff_len": 64}}, "data.max_length", 64),
        ({"data": {"sequence_len": 64}}, "data.max_length", 64),
        ({"data": {"val_size": 0.2}}, "data.validation_size", 0.2),
        ({"model": {"base_model": "a/b"}}, "model.name", "a/b"),
        ({"model": {"model_name_or_path": "a/b"}}, "model.name", "a/b"),
        ({"training": {"warmup_ratio": 0.1, "warmup_steps": 0.1}}, "training.warmup_steps", 0.1),
    ],
)
def test_another_name_is_read_as_ours_and_said(values: dict[str, object], path: str, value: object) -> None:
    config = from_mapping(values)
    found: object = config
    for name in path.split("."):
        found = getattr(found, name)

    assert found == value
    section, written = next((section, next(iter(below))) for section, below in values.items())
    assert config.notes[0].startswith(f"{section}.{written}")


def test_the_note_says_what_was_read_as_what() -> None:
    config = from_mapping({"training": {"warmup_ratio": 0.1, "no_cuda": True}, "model": {"trust_remote_code": False}})

    assert config.notes == (
        "training.warmup_ratio read as training.warmup_steps",
        "training.no_cuda: true read as training.device: cpu",
        "model.trust_remote_code passed over: code that comes with a model is never run",
    )


def test_notes_are_no_part_of_the_configuration() -> None:
    noted, silent = (
        from_mapping({"training": {"lr": 0.1}}),
        from_mapping({"training": {"learning_rate": 0.1}}),
    )

    assert noted == silent
    assert hash(noted) == hash(silent)
    assert noted.to_yaml() == silent.to_yaml()
    assert noted.fingerprint == silent.fingerprint


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"training": {"warmup_ratio": 0.1, "warmup_steps": 10}}, "both name the same key"),
        (
            {"training": {"learning_rate": 0.1, "lr": 0.2}},
            "training.lr: is 0.2, but training.learning_rate says 0.1",
        ),
        ({"training": {"no_cuda": True, "device": "cuda"}}, "both name the same key"),
        (
            {"training": {"warmup_ratio": 1}},
            "training.warmup_ratio: is 1, expected a number from 0 and below 1",
        ),
        ({"training": {"warmup_ratio": float("nan")}}, "is .nan"),
        ({"training": {"group_by_length": "yes"}}, "expected true or false"),
        ({"model": {"trust_remote_code": True}}, "is true, expected false: code that comes with a model"),
        ({"lora": {"task_type": "CAUSAL_LM"}}, 'expected "SEQ_CLS"'),
        ({"training": {"metric_for_best_model": "f1"}}, "best accuracy"),
        ({"lora": {"lora_rank": 0}}, "lora.lora_rank: is 0, expected a whole number from 1 to 512"),
    ],
)
def test_another_name_with_a_value_that_cannot_be_is_a_fault(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_mapping(values)

    assert message in str(caught.value)
