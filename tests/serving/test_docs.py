"""``docs/serving.md`` says what is: its commands run, in their order, and it names every endpoint and setting."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from finetune30.settings import Settings
from tests.serving.desk import serving

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"


def test_the_page_names_every_endpoint_and_what_can_be_set() -> None:
    page = PAGE.read_text(encoding="utf-8")
    paths = [
        "/predict",
        "/models/{adapter}",
        "/adapters",
        "/adapters/refresh",
        "/info",
        "/health",
        "/ready",
        "/metrics",
    ]
    # SERVING_URL is where others look for it.
    names = [name.upper() for name in Settings.model_fields if name.startswith("serving_") and name != "serving_url"]

    assert [name for name in (*paths, *names, "PREDICTIONS_PER_MINUTE") if name not in page] == []


@pytest.mark.skipif(not all(map(shutil.which, ("bash", "curl", "jq"))), reason="bash, curl or jq is missing")
def test_the_commands_of_the_page_run(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    commands = "".join(block for block in blocks if "curl" in block)
    with serving(tmp_path, tiny_model("bert"), {}) as desk:
        desk.alias("films", "champion", desk.run(seed=1))
        env = {"SERVING": desk.url, "PATH": os.environ["PATH"]}
        script = f"set -euo pipefail\n{commands}"
        done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=False)

    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    assert '"label_name":' in done.stdout
