"""The strict YAML reader: what it refuses, and what a bare word means to it."""

from __future__ import annotations

import codecs
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune30.config import ExperimentConfig, load
from finetune30.config.reading import LARGEST_BYTES, read_text
from finetune30.config.scalars import plain
from finetune30.errors import ConfigError

# Shared machines are slow now and then; the same examples every time keep a red test red.
unhurried = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture
def refusal(tmp_path: Path):
    """The message with which a file of these contents is refused."""

    def refused(content: str | bytes) -> str:
        path = tmp_path / "x.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert str(path) in str(caught.value)
        return str(caught.value)

    return refused


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 0.0001), ("1E4", 10000.0), ("5.0e-4", 0.0005), (".5", 0.5), ("3", 3), ("-1", -1), ("+2", 2)],
)
def test_s59_numbers_are_those_of_yaml_1_2(text: str, value: float) -> None:
    assert plain(text) == value
    assert type(plain(text)) is type(value)


@pytest.mark.parametrize("text", ["12:30:45", "1_000", "0x10", "0o7", "010", "2024-01-01", "1e", "e4", "=", "1.2.3"])
def test_s59_what_only_resembles_a_number_stays_text(text: str) -> None:
    assert plain(text) == text


def test_s59_learning_rate_without_a_dot_is_a_number(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("training:\n  learning_rate: 1e-4\n")

    assert load(path).training.learning_rate == 0.0001


@pytest.mark.parametrize("text", ["12:30:45", "1_000", "1e999", ".nan", ".inf", "-.inf", "yes"])
def test_s59_text_that_yaml_1_1_turns_into_a_number_is_refused(refusal, text: str) -> None:
    assert "seed (line 1): is " in refusal(f"seed: {text}\n")


@pytest.mark.parametrize("written", ["no", '"no"', "'no'"])
def test_s59_bare_no_of_eval_strategy_means_no(tmp_path: Path, written: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"training: {{eval_strategy: {written}}}\n")

    assert load(path).training.eval_strategy == "no"


def test_s59_bare_yes_elsewhere_asks_for_quotes_or_for_true(refusal) -> None:
    assert 'expected "on" in quotes' in refusal("data: {text_column: on}\n")
    assert "expected true or false" in refusal("lora: {use_dora: yes}\n")


def test_labels_named_yes_no_and_0_are_names(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("training:\n  class_weights: {no: 1.0, yes: 2, 0: 3}\n")

    assert load(path).training.class_weights == {"no": 1.0, "yes": 2.0, "0": 3.0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: &x 1\n", "anchor"),
        ("lora: &x {r: 1}\n", "anchor"),
        ("a: [1]\nb: *x\n", "alias"),
        ("lora:\n  <<: {r: 8}\n", "merge key"),
        ("".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 20)), "anchor"),
    ],
)
def test_s60_anchors_aliases_and_merge_keys_are_refused_with_their_line(refusal, content: str, message: str) -> None:
    assert message in refusal(content)
    assert ", line " in refusal(content)


def test_s61_no_tag_runs_anything(refusal, tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    message = refusal(f"seed: !!python/object/apply:os.system ['touch {canary}']\n")

    assert "line 1: has a tag" in message
    assert not canary.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("seed: !!binary aGk=\n", "line 1: has a tag"),
        ("seed: ! 1\n", "line 1: has a tag"),
        ("seed: !!int 1\n", "line 1: has a tag"),
        ("seed: 1\n---\nseed: 2\n", "line 2: begins a second document"),
        ("lora:\n\tr: 8\n", "line 2: has a tab"),
        (codecs.BOM_UTF8 + b"seed: 1\n", "byte order mark"),
        ("seed: 1\n".encode("utf-16"), "UTF-16"),
        ("seed: 1\n".encode("utf-16-le"), "control character"),
        (b"seed: 1\nmodel: {name: \xff}\n", "line 2: is not UTF-8"),
        ("seed: 1\nexperiment_name: a\x00b\n", "line 2: has a control character"),
        ("seed: [1\n", "is not valid YAML"),
        ("- seed\n", "is not a mapping"),
        ("just words\n", "is not a mapping"),
        ("[1, 2]: 3\n", "as a key"),
        ("%TAG ! tag:x,2000:\n---\nseed: !y 1\n", "has a tag"),
    ],
)
def test_s61_other_hidden_things_of_yaml_are_refused(refusal, content: str | bytes, message: str) -> None:
    assert message in refusal(content)


def test_s53_a_key_given_twice_is_a_fault_with_both_lines(refusal) -> None:
    message = refusal("training:\n  learning_rate: 1e-4\n  learning_rate: 1\n")

    assert "training.learning_rate (line 3): is given twice (first on line 2)" in message


def test_s62_a_file_over_256_kib_is_refused(refusal) -> None:
    assert "larger than 256 KiB" in refusal("#" * LARGEST_BYTES + "\n")


@pytest.mark.parametrize("content", ["a: " + "[" * 40, "a: " + "{a: " * 40, "- " * 5000, "a: " + "[" * 100_000])
def test_s62_a_deep_file_is_refused(refusal, content: str) -> None:
    assert "deeper than 32" in refusal(content)


def test_32_levels_are_read() -> None:
    assert read_text("a: " + "[" * 31 + "]" * 31, "x").values


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("# nothing yet\n")

    assert load(path) == ExperimentConfig()


def test_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"seed: 7\r\nlora:\r\n  r: 4\r\n")

    assert (load(path).seed, load(path).lora.r) == (7, 4)


def test_a_pipe_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    program = f"from finetune30.config import load; from pathlib import Path; load(Path({str(pipe)!r}))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert "is a pipe, socket or device, expected a YAML file" in done.stderr


@pytest.mark.parametrize("kind", ["folder", "nothing", "dangling", "circle", "socket", "device", "below a file", "url"])
def test_what_is_no_regular_file_gets_one_clear_error(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    path = Path("x.yaml")
    expected = {
        "folder": "is a folder",
        "nothing": "does not exist",
        "dangling": "a link to a file that does not exist",
        "circle": "cannot be opened: Too many levels of symbolic links",
        "socket": "cannot be opened",
        "device": "is a pipe, socket or device",
        "below a file": "does not exist",
        "url": "is a URL",
    }[kind]
    if kind == "folder":
        path.mkdir()
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "circle":
        path.symlink_to(path)
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "below a file":
        path.write_text("seed: 1\n")
        path /= "x.yaml"
    elif kind == "url":
        path = Path("https://example.org/x.yaml")
    with socket.socket(socket.AF_UNIX) as listening:
        if kind == "socket":
            listening.bind(str(path))
        with pytest.raises(ConfigError, match=expected):
            load(path)


def test_a_path_with_a_nul_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        load(Path("a\0b.yaml"))


@unhurried
@given(st.text(max_size=200))
def test_random_text_raises_nothing_but_config_errors(text: str) -> None:
    with suppress(ConfigError):
        read_text(text, "x")


@unhurried
@given(st.text(alphabet="a:-[]{},&*!|>'\"%@`#\n ?<0.e\\~", max_size=60))
def test_random_yaml_raises_nothing_but_config_errors(text: str) -> None:
    with suppress(ConfigError):
        read_text(text, "x")
