"""No serious accessibility fault on any page, light and dark, told by axe-core in a real browser.

axe-core is Deque's, from npm, and not kept here: ``make axe`` puts it into ``node_modules``, or ``FINETUNE30_AXE``
names its ``axe.min.js``; without it these tests are skipped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune30.access import Role
from finetune30.config import ExperimentConfig
from finetune30.experiments import ExperimentFolder, ExperimentStore, Status
from tests.registered import trained
from tests.ui.browser import Visit, launched
from tests.ui.world import World

pytest.importorskip("streamlit", reason="the page is not installed: pip install 'finetune30[ui]'")

pytestmark = pytest.mark.timeout(600)
_ROOT = Path(__file__).parents[2]
_SERIOUS = ("serious", "critical")
_SETTLE_MS, _REPAINT_MS = 1000, 400
_NIGHT = """() => {
    const parts = getComputedStyle(document.querySelector('.stApp') || document.body).backgroundColor.match(/\\d+/g);
    return parts && parts.slice(0, 3).every((part) => part < 80);
}"""


@pytest.fixture(scope="module")
def axe() -> str:
    """Its source."""
    named = os.environ.get("FINETUNE30_AXE")
    path = Path(named) if named else _ROOT / "node_modules" / "axe-core" / "axe.min.js"
    if not path.is_file():
        pytest.skip(f"no axe-core at {path}: make axe (npm), or name its axe.min.js in FINETUNE30_AXE")
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser(axe: str) -> Iterator[Any]:
    with launched() as found:
        yield found


@pytest.fixture(scope="module")
def world(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    found = World(tmp_path_factory.mktemp("world"))
    try:
        found.person("root", Role.ADMIN)
        found.person("newcomer")
        found.start("api", "page")
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def paths(world: World) -> dict[str, str]:
    """Every page with something on it, by name."""
    store = world.store()
    one, two = (trained(store, world.results, owner="root", accuracy=share) for share in (0.8, 0.9))
    file = world.home / "films.csv"
    file.write_text("text,label\nA wonderful film.,good\nTwo hours I will not get back.,bad\nA wonderful film.,bad\n")
    with world.client("root") as client:
        client.register("films", one, alias="champion", description="of films")
        client.register("films", two)
        waits = client.train({"experiment_name": "waits"}).task_id
        data = client.checked(client.upload(file).dataset_id).dataset_id
    live, _ = _begun(store, world.results)
    failed, attempt = _begun(store, world.results)
    error = {"code": "x", "message": "the memory is full", "where": "training", "hint": "take smaller batches"}
    store.finish(failed, attempt, "test", Status.FAILURE, error=error)
    done, attempt = _begun(store, world.results)
    figures = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    scores = {"accuracy": 0.5, "loss": 1.0, "rows": 4, "confusion": [[1, 1], [1, 1]]}
    scores["per_class"] = {"bad": figures, "good": figures}
    store.finish(done, attempt, "test", Status.SUCCESS, metrics={"train": {"runtime_s": 3.0}, "eval": scores})
    views = {f"data {view}": f"/data?id={data}&view={view}" for view in ("checks", "figures", "rows", "reading")}
    return {
        "experiments": "/",
        "submit": "/submit",
        "submit from a run": f"/submit?from={one}",
        **{f"run, {tab}": f"/run?id={done}&tab={tab}" for tab in ("result", "curves", "log", "history", "files")},
        "live": f"/run?id={live}",
        "failed": f"/run?id={failed}",
        "run that waits": f"/run?id={waits}",
        "compare": f"/compare?ids={one},{two}",
        "all data": "/data",
        "versions of data": "/data?show=versions",
        **views,
        "models": "/models",
        "model": "/models?name=films&version=1",
        "register": f"/models?register={two}",
        "try": "/try",
        **{f"account, {part}": f"/account?part={part}" for part in ("person", "keys", "webhooks")},
        **{f"admin, {part}": f"/admin?part={part}" for part in ("system", "users", "audit")},
    }


def _begun(store: ExperimentStore, results: Path) -> tuple[str, int]:
    """A run that somebody's worker has taken and done some steps of, and the number of its attempt."""
    made = store.create(ExperimentConfig(experiment_name="measured"), owner="root", tz="UTC").id
    attempt = store.claim(made, "test")
    folder = ExperimentFolder.create(results, made)
    for step in range(1, 21):
        told = {"step": step, "loss": 1 / step, "learning_rate": 0.001, "tokens_per_s": 900.0, "at": time.time()}
        system = {"cpu_percent": 150.0, "memory_bytes": 3 << 30}
        folder.append_json(folder.progress_jsonl, {"kind": "step", **told, "system": system})
    evaluated = {"accuracy": 0.75, "f1_macro": 0.7, "loss": 0.5}
    folder.append_json(folder.progress_jsonl, {"kind": "evaluation", "step": 20, "metrics": evaluated})
    folder.write_text(folder.logs_txt, "step 20/40\n")
    store.heartbeat(made, attempt, "test", {"step": 20, "total": 40, "loss": 0.05, "eta_s": 65.0})
    return made, attempt


@pytest.mark.parametrize("language", ["en", "zh-TW"])
def test_no_page_has_a_serious_fault(
    browser: Any, world: World, paths: dict[str, str], axe: str, language: str
) -> None:
    visit = Visit(browser, world.url, language, bypass_csp=True)
    visit.tab.goto("/login")
    found = _faults(visit, axe, "login")
    visit.log_in("root")
    for name, path in paths.items():
        visit.go(path)
        found += _faults(visit, axe, name)
    visit.close()

    assert not found, "\n".join(found)


def test_nor_has_the_first_page_of_a_newcomer(browser: Any, world: World, axe: str) -> None:
    visit = Visit(browser, world.url, bypass_csp=True)
    visit.log_in("newcomer")
    found = _faults(visit, axe, "newcomer")
    visit.close()

    assert not found, "\n".join(found)


def _faults(visit: Visit, axe: str, name: str) -> list[str]:
    """Of the page as it is: all rules by day; at night its colours are others, and the rest is the same."""
    visit.tab.wait_for_timeout(_SETTLE_MS)  # plots and tables are drawn a moment later
    visit.tab.evaluate(axe)
    found = _told(name, visit.tab.evaluate("axe.run()"))
    visit.tab.emulate_media(color_scheme="dark")
    visit.tab.wait_for_function(_NIGHT)
    visit.tab.wait_for_timeout(_REPAINT_MS)
    found += _told(f"{name}, dark", visit.tab.evaluate("axe.run({runOnly: ['color-contrast']})"))
    visit.tab.emulate_media(color_scheme="light")
    return found


def _told(name: str, told: dict[str, Any]) -> list[str]:
    return [
        f"{name}: {rule['id']} ({rule['impact']}): {node['html'][:200]} {node['failureSummary'][:200]}"
        for rule in told["violations"]
        if rule["impact"] in _SERIOUS
        for node in rule["nodes"]
    ]
