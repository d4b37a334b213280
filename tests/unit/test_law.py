"""The house and its documents agree with the code (datasette's habit: docs are tested)."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import finetune30
from finetune30 import errors
from finetune30.config.keys import keys
from finetune30.settings import Settings

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "finetune30"


def _rooms(law: str) -> list[set[str]]:
    return [set(re.findall(r"[a-z]+", part)) for part in law.split(">")]


def test_the_law_in_the_docstring_is_the_law_import_linter_checks() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [set(re.findall(r"[a-z]+", layer)) for layer in contracts[0]["layers"]]
    (law,) = re.findall(r"^    (cli >.*(?:\n        >.*)*)", finetune30.__doc__ or "", re.MULTILINE)
    (drawn,) = re.findall(r"^(cli > .*)$", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)

    assert _rooms(law) == layers
    assert _rooms(drawn) == layers


def test_every_key_of_the_configuration_is_read_by_code() -> None:
    """A key that exists is a key that code reads."""
    read: set[str] = set()
    for path in SRC.rglob("*.py"):
        if "config" in path.relative_to(SRC).parts[:1]:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                read.add(node.attr)
    unread = [path for path in keys() if path.rsplit(".", 1)[-1] not in read]
    assert unread == []


def _error_codes() -> set[str]:
    family = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.Finetune30Error)]
    return {c.code for c in family}


def test_the_reference_names_every_key_setting_error_code_and_verb() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text()
    verbs = ["train", "predict", "env", "bench training", "worker", "api", "serve", "ui", "up"]
    verbs += ["db upgrade", "db status"]
    verbs += [f"jobs {v}" for v in ("submit", "list", "show", "cancel", "pause", "resume", "retry", "logs")]
    verbs += [f"runs {v}" for v in ("list", "show", "compare", "logs", "cancel", "delete", "gc")]
    verbs += [f"models {v}" for v in ("list", "show", "register", "change", "alias")]
    verbs += [f"models {v}" for v in ("rollback", "history", "unregister", "delete")]
    verbs += ["login", "logout", "submit", "tasks", "watch", "cancel"]
    verbs += [f"tasks {v}" for v in ("show", "logs", "pause", "resume", "retry")]
    verbs += [
        f"user {v}"
        for v in ("add", "list", "disable", "enable", "password", "role", "key add", "key list", "key revoke")
    ]
    verbs += [f"audit {v}" for v in ("list", "verify", "export")]
    verbs += [f"webhooks {v}" for v in ("add", "list", "test", "delete")]
    verbs += [f"config {v}" for v in ("schema", "show", "import")]
    verbs += ["data validate", "data analyze"]
    verbs += [f"data versions {v}" for v in ("list", "show", "diff", "tag", "untag", "delete", "gc")]
    wanted = [
        *(f"`{path}`" for path in keys()),
        *(f"`{name.upper()}`" for name in Settings.model_fields),
        *(f"`{code}`" for code in _error_codes()),
        *(f"`finetune30 {verb}" for verb in verbs),
    ]
    assert [w for w in wanted if w not in reference] == []


def test_the_tree_of_errors_names_every_code() -> None:
    tree = errors.__doc__ or ""
    assert [c for c in _error_codes() - {"error", "bad_input"} if c not in tree] == []


def test_env_example_names_every_setting() -> None:
    example = (ROOT / ".env.example").read_text()
    names = [*(n.upper() for n in Settings.model_fields), "REDIS_PORT", "API_PORT", "UI_PORT", "TZ"]
    assert [n for n in names if n not in example] == []


def test_yaml_examples_of_the_documents_load(tmp_path: Path) -> None:
    from finetune30.config import load

    for document in ("README.md", "README.zh-TW.md", "docs/reference.md"):
        for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)):
            path = tmp_path / f"{number}.yaml"
            path.write_text(block.replace("extends: default.yaml", f"extends: {ROOT / 'config' / 'default.yaml'}"))
            load(path)


def test_make_help_lists_every_target() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wanted = [
        "help",
        "setup",
        "setup-conda",
        "run-local",
        "logs-local",
        "db-list",
        "up",
        "worker",
        "api",
        "ui",
        "start-local",
        "serve",
        "predict-health",
        "predict-text",
        "predict-positive",
        "predict-negative",
        "jobs",
        "data-validate",
        "data-analyze",
        "data-versions",
        "audit-verify",
        "test",
        "test-v",
        "check",
        "soak",
        "mutants",
        "bench",
        "bench-quick",
        "bench-serving",
    ]
    assert [t for t in wanted if f"make {t} " not in listed] == []


@pytest.mark.parametrize(
    "module",
    [
        "finetune30.cli",
        "finetune30.config",
        "finetune30.experiments",
        "finetune30.jobs",
        "finetune30.access",
        "finetune30.registry",
        "finetune30.client",
    ],
)
def test_the_command_line_loads_no_torch_before_it_trains(module: str) -> None:
    heavy = "('torch', 'transformers', 'peft', 'datasets')"
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_path_of_a_machine_and_no_download_address_is_in_the_lock() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert re.findall(r"(?m)^(?![A-Za-z0-9._-]+==[A-Za-z0-9._!-]+(; python_version.+)?$).+$", lock) == []
    assert "torch==2.13.0\n" in lock
