"""Bad input gets one clear error, exit code 2, and nothing is made (issue: "Bad input gets")."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Ended, Workplace

Cli = Callable[..., Ended]


def refused(ended: Ended, workplace: Workplace, code: str, *words: str) -> None:
    """Exit code 2, one message, the code for scripts, no traceback, nothing made."""
    assert ended.code == 2, ended.err
    assert ended.json["error"]["code"] == code
    for word in words:
        assert word in ended.err
    assert "Traceback" not in ended.err + ended.out
    assert workplace.made() == []


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.learning_rte=1e-4", ["learning_rte", "did you mean training.learning_rate?"]),
        ("lora.r=0", ["lora.r", "0", "1 to 512"]),
        ("lora.r=eight", ["lora.r"]),
        ("training.learning_rate=.nan", ["training.learning_rate"]),
        ("experiment_name=../../x", ["experiment_name"]),
        ("experiment_name=/etc/passwd", ["experiment_name"]),
        ("lora.target_modules=(a+)+$", ["lora.target_modules"]),
        ("lora.target_modules=[no_such_layer]", ["no linear layer named no_such_layer", "q_lin"]),
        ("data.max_length=4096", ["data.max_length", "at most 64 tokens"]),
        ("training.device=cuda:9", ["training.device"]),
        ("training.fp16=true", ["training.fp16"]),
        ("training.class_weights={positve: 2}", ["no label 'positve'"]),
        ("lora.layers_to_transform=[7]", ["layers 0 to 1"]),
    ],
)
def test_a_wrong_value_names_its_key(workplace: Workplace, run_cli: Cli, setting: str, words: list[str]) -> None:
    ended = run_cli("train", str(workplace.config), "--json", "--set", setting)
    refused(ended, workplace, "config_invalid", *words)


def test_all_faults_are_reported_together(workplace: Workplace, run_cli: Cli) -> None:
    ended = run_cli("train", str(workplace.config), "--json", "--set", "lora.r=0", "--set", "lora.alpah=3")
    refused(ended, workplace, "config_invalid", "lora.r", "lora.alpah", "2 faults")


def test_a_missing_configuration_file_is_named(workplace: Workplace, run_cli: Cli) -> None:
    refused(run_cli("train", "config/nothing.yaml", "--json"), workplace, "config_invalid", "config/nothing.yaml")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", "", ["empty.csv"]),
        ("header.csv", "text,label\n", ["header.csv"]),
        ("columns.csv", "txt,lbl\na,b\n", ["txt", "lbl"]),
        ("one_class.csv", "text,label\n" + "".join(f"text {i},same\n" for i in range(9)), ["same"]),
        ("blank.csv", "text,label\n ,a\n  ,b\n", ["empty"]),
        ("data.pkl", "\x80\x04", ["data.pkl"]),
        ("renamed.csv", "\x80\x04\x95", ["renamed.csv"]),
        ("broken.jsonl", '{"text": "a", "label": "b"}\n{"text": ', ["line 2"]),
        ("wrong.parquet", "PAR1 not really", ["wrong.parquet"]),
    ],
)
def test_bad_data_names_what_is_wrong_with_it(
    workplace: Workplace, run_cli: Cli, name: str, content: str, words: list[str]
) -> None:
    (workplace.path / name).write_bytes(content.encode("latin-1"))
    ended = run_cli("train", str(workplace.config), "--json", "--set", f"data.dataset_name=./{name}")
    refused(ended, workplace, "data_invalid", *words)


def test_a_missing_file_is_not_looked_up_on_the_hub(workplace: Workplace, run_cli: Cli) -> None:
    ended = run_cli("train", str(workplace.config), "--json", "--set", "data.dataset_name=./revews")
    refused(ended, workplace, "data_invalid", "./revews", "reviews")


def test_s68_a_fifo_as_data_is_refused_at_once(workplace: Workplace, run_cli: Cli) -> None:
    os.mkfifo(workplace.path / "pipe.csv")
    ended = run_cli("train", str(workplace.config), "--json", "--set", "data.dataset_name=./pipe.csv")
    refused(ended, workplace, "data_invalid", "pipe.csv")


def test_a_missing_split_is_one_clear_error(workplace: Workplace, run_cli: Cli) -> None:
    (workplace.path / "reviews" / "train.csv").unlink()
    ended = run_cli("train", str(workplace.config), "--json")
    refused(ended, workplace, "data_invalid", "train")


def test_s87_a_model_with_remote_code_is_refused(workplace: Workplace, run_cli: Cli, tiny_model) -> None:
    model = Path(shutil.copytree(tiny_model("bert"), workplace.path / "model"))
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoConfig": "evil.Config"}}))
    ended = run_cli("train", str(workplace.config), "--json", "--set", "model.name=./model")
    refused(ended, workplace, "model_invalid", "remote code not allowed")


def test_s90_pickled_weights_are_refused(workplace: Workplace, run_cli: Cli, tiny_model) -> None:
    model = Path(shutil.copytree(tiny_model("bert"), workplace.path / "model"))
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    ended = run_cli("train", str(workplace.config), "--json", "--set", "model.name=./model")
    refused(ended, workplace, "model_invalid", "pytorch_model.bin", "safetensors")


def test_a_results_folder_that_is_a_file_is_refused(
    workplace: Workplace, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workplace.path / "taken").write_text("x")
    monkeypatch.setenv("RESULTS_DIR", "taken")
    refused(run_cli("train", str(workplace.config), "--json"), workplace, "storage_unusable", "taken", "RESULTS_DIR")


def test_a_wrong_setting_names_its_variable(
    workplace: Workplace, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEASE_S", "soon")
    refused(run_cli("train", str(workplace.config), "--json"), workplace, "settings_invalid", "LEASE_S")


@pytest.mark.parametrize(
    "arguments",
    [["trian"], ["train", "--epocs", "3"], ["runs", "show"], ["predict", "--exp"], ["train", "a.yaml", "b.yaml"]],
)
def test_a_misspelt_command_line_is_exit_code_2(workplace: Workplace, run_cli: Cli, arguments: list[str]) -> None:
    ended = run_cli(*arguments)
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert workplace.made() == []


def test_without_torch_training_says_what_to_install(
    workplace: Workplace, run_cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [m for m in sys.modules if m.startswith(("finetune30.pipeline", "finetune30.modeling", "torch"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)  # what Python itself does for a package that is not there
    ended = run_cli("train", str(workplace.config), "--json")
    refused(ended, workplace, "bad_input", "torch is not installed", "pip install 'finetune30[builtin]'")


def test_resume_takes_no_other_configuration(workplace: Workplace, run_cli: Cli) -> None:
    ended = run_cli("train", "--resume", "x", "--epochs", "3", "--json")
    refused(ended, workplace, "config_invalid", "--resume")


_FULL_DISK = """
import sys
from pathlib import Path
from finetune30 import pipeline
from finetune30.config import load
from finetune30.errors import DiskFull
from finetune30.experiments import open_store
from finetune30.settings import get_settings

disk = Path("disk")

def fill(event):
    if event.kind == "step" and event.step == 3:  # after checkpoint-2 was saved
        with (disk / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(16 << 10))
            except OSError:
                file.truncate(max(0, file.tell() - (48 << 10)))

door = pipeline.Door(get_settings(), "ana", fill, lambda: None)
try:
    pipeline.run(load(Path("tiny.yaml"), ["lora.r=256", "lora.target_modules=all-linear"]), door)
except DiskFull as error:
    (disk / "filler").unlink()
    row = open_store(get_settings(), create=False).newest()
    print(row.status, row.error["code"], *sorted(p.name for p in (disk / row.id / "artifacts").glob("[!.]*")))
    sys.exit(error.exit_code)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("unshare"),
    reason="a small file system of its own needs Linux, root and unshare",
)
def test_a_disk_that_fills_up_ends_the_run_and_keeps_the_last_checkpoint(workplace: Workplace) -> None:
    (workplace.path / "disk").mkdir()
    (workplace.path / "full.py").write_text(_FULL_DISK)
    mounted = "mount -t tmpfs -o size=64m none disk && exec " + sys.executable + " full.py"
    try:
        subprocess.run(["unshare", "-m", "true"], check=True, capture_output=True)
    except subprocess.CalledProcessError:
        pytest.skip("this machine forbids mount namespaces")
    ended = subprocess.run(
        ["unshare", "-m", "sh", "-c", mounted],
        cwd=workplace.path,
        env={**os.environ, "RESULTS_DIR": "disk"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert ended.returncode == 1, ended.stderr
    assert ended.stdout.strip() == "FAILURE disk_full checkpoint-2"


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare")
def test_too_little_disk_space_is_refused_before_anything_is_made(workplace: Workplace) -> None:
    (workplace.path / "disk").mkdir()
    command = (
        f"mount -t tmpfs -o size=1m none disk && {sys.executable} -m finetune30 train tiny.yaml; e=$?; ls disk; exit $e"
    )
    ended = subprocess.run(
        ["unshare", "-m", "sh", "-c", command],
        cwd=workplace.path,
        env={**os.environ, "RESULTS_DIR": "disk"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    if "unshare" in ended.stderr:
        pytest.skip("this machine forbids mount namespaces")
    assert ended.returncode == 2, ended.stderr
    assert "MiB are free" in ended.stderr
    assert ended.stdout.splitlines()[-1:] != ["experiments.db"]
