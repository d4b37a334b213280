"""Photographs of every page into ``docs/images/``, light and dark, wide and narrow: ``make screenshots``.

The world they show is real: three people, trainings of the built-in reviews that ran here, one that runs, one that
failed, files that were checked, a model with two versions. ``python -m tests.ui.screenshots run submit`` takes some.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from finetune30.access import Role
from finetune30.client import Client
from tests import tiny
from tests.ui.browser import Visit, launched
from tests.ui.world import World

IMAGES = Path(__file__).parents[2] / "docs" / "images"
# Width, and the most height: a longer page is cut there.
SIZES = {"wide": (1280, 1500), "narrow": (390, 2000)}
_LEAST, _SETTLE_MS = 760, 1200
_SENTENCES = "This movie was great, I loved every minute of it!\nThe room was filthy and the staff were rude."
_IN_CHINESE = ("login", "experiments", "submit", "run", "data", "model", "try")


@dataclass(frozen=True)
class Content:
    """What there is to look at."""

    runs: dict[str, str]
    files: dict[str, str]

    def paths(self) -> dict[str, str]:
        """Every page, by the name of its pictures."""
        compared = ",".join(self.runs[name] for name in ("first try", "higher rank", "whole data"))
        return {
            "experiments": "/",
            "submit": f"/submit?data={self.files['films.csv']}",
            "live": f"/run?id={self.runs['long one']}",
            "run": f"/run?id={self.runs['whole data']}",
            "run-failed": f"/run?id={self.runs['contradictions']}",
            "compare": f"/compare?ids={compared}",
            "data": "/data",
            "data-checks": f"/data?id={self.files['contradictions.csv'].split(':')[1]}",
            "models": "/models",
            "model": "/models?name=reviews&version=2",
            "try": "/try?model=reviews@champion",
            "account": "/account",
            "account-keys": "/account?part=keys",
            "admin": "/admin",
            "admin-audit": "/admin?part=audit",
        }


def main(wanted: list[str]) -> None:
    """All of them, or those of these names."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, launched() as browser:
        world = World(Path(folder))
        try:
            for name, role in (("ana", Role.USER), ("bo", Role.USER), ("root", Role.ADMIN)):
                world.person(name, role)
            world.start("api", "worker")
            print(f"a world is made at {world.url}", flush=True)
            content = _fill(world)
            world.start("page", "serving")
            for language in ("en", "zh-TW"):
                for scheme in ("light", "dark"):
                    for size in SIZES:
                        if language == "en" or (scheme, size) in {("light", "wide"), ("dark", "narrow")}:
                            _photograph(browser, world, content, (language, scheme, size), wanted)
        finally:
            world.close()


def _fill(world: World) -> Content:
    with world.client("ana") as ana, world.client("bo") as bo:
        files = _files(world, ana)
        runs = {
            "first try": _train(ana, "first try", train_samples=240, epochs=3.0),
            "higher rank": _train(ana, "higher rank", train_samples=240, epochs=3.0, r=32),
            "whole data": _train(ana, "whole data"),
            "contradictions": _train(ana, "contradictions", dataset=files["contradictions.csv"]),
            "Chinese reviews": _train(bo, "Chinese reviews", dataset="builtin:reviews-zh", train_samples=200),
        }
        for name, run in runs.items():
            print(f"{name}: {_ended(bo if name == 'Chinese reviews' else ana, run)}", flush=True)
        for run in ("first try", "whole data"):
            ana.register("reviews", runs[run], note=run, description="English reviews, good or bad", visibility="team")
        for version in (1, 2):
            ana.point("reviews", "champion", version, expected=version - 1)
        ana.point("reviews", "fallback", 1, expected=0)
        runs["long one"] = _train(ana, "long one", epochs=400.0)
        _train(ana, "next in line")
    return Content(runs, files)


def _files(world: World, ana: Client) -> dict[str, str]:
    rows = tiny.rows(120)
    other = {"positive": "negative", "negative": "positive"}
    contents = {
        "films.csv": [("text", "label"), *rows],
        "contradictions.csv": [
            ("text", "label"),
            *rows,
            *((text, other[label]) for text, label in rows[:6]),
            (" ", "positive"),
        ],
        "no labels.csv": [("title", "year"), ("A film", "1999"), ("Another", "2004")],
    }
    names = {}
    for name, lines in contents.items():
        path = world.home / secrets.token_hex(4)
        path.write_text("\n".join(",".join(line) for line in lines), encoding="utf-8")
        names[name] = ana.checked(ana.upload(path, name=name).dataset_id).dataset_name
    return names


def _ended(client: Client, run: str) -> str:
    while not (task := client.task(run)).has_ended:
        time.sleep(1)
    return str(task.status)


def _train(client: Client, name: str, *, dataset: str = "builtin:reviews", epochs: float = 1.0, **more: Any) -> str:
    config: dict[str, Any] = {"experiment_name": name, "data": {"dataset_name": dataset}}
    config["training"] = {"num_train_epochs": epochs, "logging_steps": 1}
    if "train_samples" in more:
        config["data"]["train_samples"] = more["train_samples"]
    if "r" in more:
        config["lora"] = {"r": more["r"]}
    return client.train(config).task_id


def _photograph(browser: Any, world: World, content: Content, how: tuple[str, str, str], wanted: list[str]) -> None:
    language, scheme, size = how
    width, _ = SIZES[size]
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    person = "ana"
    visit = Visit(browser, world.url, language, **options)
    visit.tab.goto("/login")
    _take(visit, "login", how, wanted)
    visit.log_in(person)
    for name, path in content.paths().items():
        if name == "admin":
            visit.close()
            visit = Visit(browser, world.url, language, **options)
            visit.log_in("root")
        if _is_wanted(name, language, wanted):
            visit.tab.set_viewport_size({"width": width, "height": 900})
            visit.go(path)
            if name == "try":
                _ask(visit)
            _take(visit, name, how, wanted)
    print(*how, *visit.faults, *visit.elsewhere, flush=True)
    visit.close()


def _ask(visit: Visit) -> None:
    visit.tab.get_by_label(visit.say("tryout.text")).fill(_SENTENCES)
    visit.press("try_ask")
    visit.key("try_answer_0").wait_for()
    visit.tab.mouse.move(0, 0)  # a button below it has another colour


def _is_wanted(name: str, language: str, wanted: list[str]) -> bool:
    return (not wanted or name in wanted) and (language == "en" or name in _IN_CHINESE)


def _take(visit: Visit, name: str, how: tuple[str, str, str], wanted: list[str]) -> None:
    language, scheme, size = how
    if not _is_wanted(name, language, wanted):
        return
    width, most = SIZES[size]
    if name != "login":
        visit.drawn()
    visit.tab.wait_for_timeout(_SETTLE_MS)  # plots are drawn, and lines moved to their place
    long = visit.tab.evaluate(
        "() => Math.max(document.documentElement.scrollHeight,"
        " document.querySelector('[data-testid=stMain]')?.scrollHeight ?? 0)"
    )
    visit.tab.set_viewport_size({"width": width, "height": max(_LEAST, min(most, long))})
    visit.tab.wait_for_timeout(_SETTLE_MS)
    if name != "login":
        visit.drawn()
    path = IMAGES / f"{name}-{scheme}-{size}{'' if language == 'en' else f'-{language}'}.png"
    visit.tab.screenshot(path=path)
    with Image.open(path) as image:
        # By what is there, not by how much of it: a logo's colours are few points.
        # One round of means after it, so that grounds keep theirs.
        few = image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
