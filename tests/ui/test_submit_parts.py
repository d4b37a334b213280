"""The parts of the page of a new training that need no page: keys, groups, words, commands."""

from __future__ import annotations

import json
import shlex

import pytest

from finetune30.config import ExperimentConfig, json_schema
from finetune30.ui.submitting.commands import command, curl, file_name
from finetune30.ui.submitting.draft import Draft, Wish, read, written
from finetune30.ui.submitting.groups import BASICS, GROUPS, ICONS, REST, groups
from finetune30.ui.submitting.keys import fields_of, flat, nested
from finetune30.ui.submitting.widgets import SUGGESTED, widget_of
from finetune30.ui.words import fields as words

FIELDS = fields_of(json_schema())
DEFAULTS = flat(ExperimentConfig().to_dict(), FIELDS)


def test_every_key_has_a_name_in_both_languages_and_help_in_chinese() -> None:
    assert set(words.WORDS) == set(FIELDS) == set(words.HELP)
    assert set(words.EMPTY) <= {path for path, one in FIELDS.items() if one.can_be_empty}
    assert set(SUGGESTED) <= set(FIELDS)


def test_every_key_stands_in_one_group_and_a_newer_servers_key_in_the_last() -> None:
    placed = [*BASICS, *(path for some in GROUPS.values() for path in some)]

    assert sorted(placed) == sorted(FIELDS)
    assert groups([*FIELDS, "lora.newer"])[REST] == ["lora.newer"]
    assert set(ICONS) == {*GROUPS, REST}


def test_a_configuration_is_flat_and_whole_again() -> None:
    config = ExperimentConfig().to_dict()

    assert nested(DEFAULTS) == config
    assert flat({"training": None, "lora": {"r": 3}, "data": {}}, FIELDS) == {"lora.r": 3}
    assert flat({"training": {"class_weights": {"a.b": 1}}}, FIELDS) == {"training.class_weights": {"a.b": 1}}
    assert nested({"lora": 5, "lora.r": 3}) == {"lora": 5}  # the server says what is wrong with it


VALUES = [
    ("lora.target_modules", "all-linear"),
    ("lora.target_modules", ["q_lin"]),
    ("lora.target_modules", None),
    ("lora.layers_to_transform", [4, 5]),
    ("lora.init_lora_weights", True),
    ("lora.init_lora_weights", "pissa_niter_16"),
    ("training.bf16", "auto"),
    ("training.bf16", False),
    ("training.max_steps", -1),
    ("training.max_steps", 100),
    ("training.warmup_steps", 0.1),
    ("training.warmup_steps", 100),
    ("training.report_to", []),
    ("training.report_to", ["mlflow"]),
    ("training.class_weights", "balanced"),
    ("training.class_weights", {"a: b": 1.5}),
    ("training.class_weights", None),
    ("training.per_device_train_batch_size", "auto"),
    ("training.per_device_train_batch_size", 32),
    ("model.num_labels", None),
    ("data.text_column", None),
    ("experiment_name", "中文"),
    # What no widget of the kind shows.
    ("lora.r", "many"),
    ("lora.r", 0),
    ("lora.use_dora", "yes"),
    ("model.num_labels", {"a": 1}),
    ("data.encoding", 5),
    ("training.learning_rate", "1e-4"),
    ("training.learning_rate", None),
]


@pytest.mark.parametrize(("path", "value"), [*DEFAULTS.items(), *VALUES])
def test_a_widget_gives_back_the_value_it_shows(path: str, value: object) -> None:
    widget = widget_of(FIELDS[path], value)

    back = widget.back(FIELDS[path], widget.plain(FIELDS[path], value))

    if widget.suffix and isinstance(value, str):
        assert str(back) in (value, value.replace("1e-4", "0.0001"))
    else:
        assert (back, type(back) is bool) == (value, type(value) is bool)


def test_a_word_for_all_layers_and_names_of_some_exclude_each_other() -> None:
    field = FIELDS["lora.target_modules"]
    back = widget_of(field, None).back

    assert back(field, ["all-linear", "query"]) == ["query"]
    assert back(field, ["query", "all-linear"]) == "all-linear"


def test_the_address_holds_what_was_changed() -> None:
    changed = DEFAULTS | {"experiment_name": "a=b&c", "lora.target_modules": ["q"], "data.train_samples": 5}

    told = written(changed, DEFAULTS)

    assert DEFAULTS | read(told, FIELDS) == changed
    assert read(["lora.r", "lora.r={", "nothing=1", "lora.r=" + "[" * 5000], FIELDS) == {}
    assert written(DEFAULTS | {"experiment_name": "x" * 5000}, DEFAULTS) == []


def test_the_key_of_a_submission_changes_with_what_is_submitted_only() -> None:
    draft = Draft(dict(DEFAULTS))
    first = draft.key

    assert draft.key == first
    draft.put("lora.r", 3)
    assert draft.key != first
    draft.put("lora.r", 8)
    assert draft.key == first
    draft.wish.priority = 4
    assert draft.key != first
    assert Draft(dict(DEFAULTS)).key != first  # another draft of the same is another training


def test_commands_survive_a_shell() -> None:
    name = file_name("it's 中文; rm -rf ../x", "yaml")
    config = {"experiment_name": "it's $HOME `x`"}

    assert name == "it-s-中文-rm--rf-..-x.yaml"
    assert file_name("///", "yaml") == "training.yaml"
    assert shlex.split(command("train", name, Wish(priority=3))) == ["finetune30", "train", name]
    assert "--priority 3 --max-runtime 90" in command("submit", name, Wish("train", 3, 90))
    told = shlex.split(curl(config, Wish("train", 3), "page-1").replace("\\\n", " "))
    assert json.loads(told[told.index("-d") + 1]) == config
    assert told[2] == "$API/train?queue=train&priority=3"
