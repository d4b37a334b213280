"""``docs/api.md`` says what is: its commands run, in their order, and it names every endpoint and setting."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from finetune30.access import Role
from tests.api.service import PASSWORD, serving
from tests.api.test_authorisation import every_route
from tests.registered import trained as registered
from tests.trained import Trained

_RUNS = {"DONE": "trained", "OTHER": "guessed"}
PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def test_the_page_names_every_endpoint() -> None:
    page = PAGE.read_text(encoding="utf-8")
    said = re.sub(r"\$(TASK|AGAIN|DONE)", "{task_id}", page).replace("$NEW", "{user_id}").replace("$NAME", "{name}")
    said = re.sub(r"\$(DATASET|MINE|MIXED)", "{dataset_id}", said).replace(
        "$VERSION/diff/$VERSION", "{before}/diff/{after}"
    )
    said = said.replace("/v1/models/$MODEL", "/v1/models/{model:path}")
    names = {"JOB": "fine_tuning_job_id", "FILE": "file_id", "MODEL": "name", "VERSION": "version", "ALIAS": "alias"}
    for name, parameter in (names | {"HOOK": "webhook_id", "KEY": "key_id", "DELIVERY": "number"}).items():
        said = said.replace(f"${name}", f"{{{parameter}}}")

    assert [path for _, path in every_route() if f"$API{path}" not in said] == []


@pytest.mark.skipif(not all(map(shutil.which, ("bash", "curl", "jq"))), reason="bash, curl or jq is missing")
def test_the_commands_of_the_page_run(tmp_path: Path, trained: Trained) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    commands = "".join(block for block in blocks if "curl" in block)
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    with serving(tmp_path, {"WEBHOOK_HOSTS": "127.0.0.1"}) as service:
        service.services.access.users.add("ana", Role.USER, PASSWORD)
        service.services.access.users.add("admin", Role.ADMIN, PASSWORD)
        store, settings = service.services.jobs.store, service.settings
        runs = {name: trained.copy(run, store, settings, "ana") for name, run in _RUNS.items()}
        env = {"API": service.url, "PASSWORD": PASSWORD, "ADMIN_PASSWORD": PASSWORD, "PATH": os.environ["PATH"]}
        for name in ("RUN", "OTHER_RUN"):
            env[name] = registered(service.services.jobs.store, service.settings.results_dir)
        script = f"set -euo pipefail\n{commands}"
        done = subprocess.run(
            ["bash", "-c", script], env=env | runs, cwd=fetched, capture_output=True, text=True, check=False
        )

    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    assert "event: end" in done.stdout
    assert {"final_model.zip", "predictions.csv", "eval_predictions.parquet"} <= {p.name for p in fetched.iterdir()}


@pytest.mark.skipif(not all(map(shutil.which, ("bash", "curl", "jq"))), reason="bash, curl or jq is missing")
@pytest.mark.parametrize("page", ["README.md", "README.zh-TW.md"])
def test_the_commands_of_the_readme_run(tmp_path: Path, page: str) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", (PAGE.parents[1] / page).read_text(encoding="utf-8"), re.DOTALL)
    (commands,) = [re.sub(r"export API=.*\n", "", block) for block in blocks if "$API/login" in block]
    with serving(tmp_path, {}) as service:
        service.services.access.users.add("admin", Role.ADMIN, PASSWORD)
        env = {"API": service.url, "ADMIN_PASSWORD": PASSWORD, "PATH": os.environ["PATH"]}
        script = f"set -euo pipefail\n{commands}"
        done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=False)

    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    assert '"status": "PENDING"' in done.stdout
