"""The way back to YAML, the fingerprint, and random input of every kind."""

from __future__ import annotations

from contextlib import suppress

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune30.config import ExperimentConfig, from_mapping
from finetune30.config.layers import override_layers, settle
from finetune30.config.loading import checked
from finetune30.config.reading import read_text
from finetune30.errors import ConfigError

# Shared machines are slow now and then; the same examples every time keep a red test red.
unhurried = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def test_the_fingerprint_ignores_the_name_and_nothing_else() -> None:
    config = ExperimentConfig()

    assert from_mapping({"experiment_name": "other"}).fingerprint == config.fingerprint
    assert len(config.fingerprint) == 64
    others = [{"seed": 1}, {"lora": {"r": 4}}, {"data": {"validation_rules": {"allow_empty": True}}}]
    assert len({config.fingerprint, *(from_mapping(other).fingerprint for other in others)}) == 4


def test_the_fingerprint_is_the_same_for_3_and_3_point_0() -> None:
    whole, fraction = ({"training": {"num_train_epochs": epochs}} for epochs in (3, 3.0))

    assert from_mapping(whole).fingerprint == from_mapping(fraction).fingerprint


def test_a_configuration_is_frozen() -> None:
    config = ExperimentConfig()

    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3  # type: ignore[misc]  # what the test is about


text = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20).filter(lambda t: t == t.strip())
tricky = st.sampled_from(
    ["no", "1e-4", "null", "~", "12:30:45", "0x1", "- a", "a: b", "#x", "010", "yes", ".nan", "é", "😀"]
)
names = st.lists(st.from_regex(r"[A-Za-z0-9_.]{1,20}", fullmatch=True), min_size=1, max_size=4)
fractions = st.floats(1e-12, 0.49, allow_subnormal=False)
configurations = st.fixed_dictionaries(
    {},
    optional={
        "experiment_name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_ -]{0,20}[A-Za-z0-9]", fullmatch=True),
        "seed": st.integers(0, 2**32 - 1),
        "model": st.fixed_dictionaries({}, optional={"name": text | tricky, "revision": st.none() | text | tricky}),
        "lora": st.fixed_dictionaries(
            {},
            optional={
                "r": st.integers(1, 512),
                "lora_dropout": fractions,
                "target_modules": st.none() | st.just("all-linear") | names,
                "init_lora_weights": st.sampled_from([True, False, "gaussian", "pissa_niter_4"]),
                "layers_to_transform": st.none() | st.integers(0, 9) | st.lists(st.integers(0, 9), min_size=1),
            },
        ),
        "data": st.fixed_dictionaries(
            {},
            optional={
                "dataset_name": text | tricky,
                "label_column": st.none() | text | tricky,
                "validation_size": fractions,
                "train_samples": st.none() | st.integers(1, 10**8),
            },
        ),
        "training": st.fixed_dictionaries(
            {},
            optional={
                "learning_rate": fractions,
                "warmup_steps": fractions | st.integers(1, 10**8),
                "eval_strategy": st.sampled_from(["epoch", "steps", "no"]),
                "class_weights": st.just("balanced") | st.dictionaries(text | tricky, fractions, min_size=1),
                "report_to": st.sampled_from(["none", "wandb", ["mlflow", "tensorboard"], [], None]),
                "bf16": st.sampled_from(["auto", True, False]),
            },
        ),
    },
)


@unhurried
@given(configurations)
def test_what_is_written_as_yaml_reads_back_equal(values: dict[str, object]) -> None:
    config = from_mapping(values)
    written = config.to_yaml()

    again = from_mapping(read_text(written, "written").values)

    assert again == config
    assert again.fingerprint == config.fingerprint


@unhurried
@given(configurations)
def test_every_yaml_reader_reads_our_text_as_text(values: dict[str, object]) -> None:
    config = from_mapping(values)

    by_pyyaml = yaml.safe_load(config.to_yaml())

    for section, key in (("model", "name"), ("data", "dataset_name"), ("training", "eval_strategy")):
        assert by_pyyaml[section][key] == getattr(getattr(config, section), key)


@unhurried
@given(st.text(max_size=60))
def test_random_overrides_raise_nothing_but_config_errors(text: str) -> None:
    for override in (text, f"lora.target_modules={text}", f"{text}=1"):
        with suppress(ConfigError):
            checked(settle(override_layers([override])), "--set")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
known_paths = st.sampled_from(["seed", "lora", "lora.r", "lora.target_modules", "data.validation_rules", "model.name"])


@unhurried
@given(st.dictionaries(st.sampled_from(["lora", "training", "data", "x"]) | st.text(max_size=8), json_values))
def test_random_mappings_raise_nothing_but_config_errors(values: dict[str, object]) -> None:
    with suppress(ConfigError):
        from_mapping(values)


@unhurried
@given(known_paths, json_values)
def test_random_values_of_real_keys_raise_nothing_but_config_errors(path: str, value: object) -> None:
    with suppress(ConfigError):
        from_mapping(nested(path, value))


def nested(path: str, value: object) -> dict[str, object]:
    """The value below its dotted path."""
    outer, _, name = path.rpartition(".")
    return nested(outer, {name: value}) if outer else {name: value}
