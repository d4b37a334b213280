"""The program as a user runs it: in this process where that is enough, as its own process where it dies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from finetune30 import cli
from finetune30.experiments import Experiment, open_store
from finetune30.settings import get_settings
from tests import tiny
from tests.cli_cases import Ended


@dataclass(frozen=True)
class Workplace:
    """An empty working directory with a tiny experiment in it."""

    path: Path
    config: Path

    @property
    def results(self) -> Path:
        return self.path / "results"

    def made(self) -> list[str]:
        """What lies in the results folder."""
        return sorted(p.name for p in self.results.iterdir()) if self.results.exists() else []

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """The program as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "finetune30", *arguments],
            cwd=self.path,
            env={**os.environ, "HEARTBEAT_S": "1", "LEASE_S": "30", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def call(self, *arguments: str, **environment: str) -> Ended:
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=240)
        return Ended(process.returncode, out, err)

    def row(self, experiment_id: str) -> Experiment:
        return open_store(get_settings(), create=False).get(experiment_id)

    def only_run(self) -> Path:
        """The one run folder there is."""
        (folder,) = [p for p in self.results.iterdir() if p.is_dir()]
        return folder


@pytest.fixture
def workplace(tiny_model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    monkeypatch.chdir(tmp_path)
    tiny.write_dataset(tmp_path / "reviews", test=16)
    config = tmp_path / "tiny.yaml"
    config.write_text(
        f"""
experiment_name: tiny
seed: 3
model: {{name: {tiny_model("distilbert")}}}
lora: {{r: 4, lora_alpha: 8, lora_dropout: 0.1, target_modules: null}}
data: {{dataset_name: reviews, max_length: 32}}
training: {{learning_rate: 5e-3, num_train_epochs: 2, logging_steps: 1, save_steps: 2, device: cpu, bf16: false}}
""",
        encoding="utf-8",
    )
    return Workplace(tmp_path, config)


@pytest.fixture
def run_cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs ``finetune30 ARGUMENTS`` in this process."""

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["finetune30", *arguments])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        return Ended(code, printed.out, printed.err)

    return call
