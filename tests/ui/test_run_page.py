"""The page of one training, in each of its states, against the real API.

A run is put into a state by the store, as a worker would; ``trained`` was really trained.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from streamlit.testing.v1 import AppTest

from finetune30.errors import Missing
from finetune30.experiments import ExperimentFolder, Status
from finetune30.ui import plots
from finetune30.ui.seats import Seat
from finetune30.ui.watching import history
from finetune30.ui.watching import look as looking
from finetune30.ui.watching.look import Look
from finetune30.ui.watching.near import Near
from finetune30.ui.watching.stages import sentence
from tests.api.service import Service
from tests.trained import Trained

Run = Callable[..., AppTest]
MARKUP = "<script>alert(1)</script> ![x](http://evil/p.png) [a](javascript:alert(1))"
RESULT, LOG, HISTORY, FILES = "Result", "Log", "History", "Files"


def submit(seat: Seat, name: str = "one") -> str:
    """A run that waits."""
    return seat.client.train({"experiment_name": name}).task_id


def begin(service: Service, id: str, steps: int = 0, total: int = 40) -> int:
    """Let a worker have taken it and done so many steps; the attempt's number."""
    attempt = service.services.jobs.store.claim(id, "test")
    folder = ExperimentFolder(service.settings.results_dir, id)
    if attempt == 1:
        folder.path.mkdir()
    for step in range(1, steps + 1):
        told = {"step": step, "loss": 1 / step, "learning_rate": 0.001, "tokens_per_s": 900.0, "at": time.time()}
        system = {"cpu_percent": 150.0, "memory_bytes": 3 << 30}
        folder.append_json(folder.progress_jsonl, {"kind": "step", **told, "system": system})
    if steps:
        metrics = {"accuracy": 0.75, "f1_macro": 0.7, "loss": 0.5}
        folder.append_json(folder.progress_jsonl, {"kind": "evaluation", "step": steps, "metrics": metrics})
        folder.write_text(folder.logs_txt, f"step {steps}/{total}\n{MARKUP}\n")
        progress = {"step": steps, "total": total, "loss": 1 / steps, "eta_s": 65.0}
        service.services.jobs.store.heartbeat(id, attempt, "test", progress)
    return attempt


def told(page: AppTest) -> str:
    """Everything on the page that is read as Markdown or text, sources as they are."""
    kinds = (page.title, page.subheader, page.markdown, page.caption, page.info, page.warning, page.error, page.code)
    return "\n".join(str(one.value) for some in kinds for one in some)


def bar(page: AppTest) -> tuple[int, str]:
    """The progress bar: percent, and its text."""
    proto = page.get("progress")[0].proto
    return proto.value, proto.text


def stages(page: AppTest) -> list[str]:
    """The colour of each stage."""
    return [one.value.split("-badge")[0][1:] for one in page.markdown if "-badge[" in one.value]


def charts(page: AppTest) -> list[Any]:
    """What each plot was given."""
    return [json.loads(one.proto.spec) for one in page.get("plotly_chart")]


@pytest.fixture
def finished(service: Service, ana: Seat, trained: Trained) -> str:
    """A run of ana's that was really trained."""
    return trained.copy("trained", service.services.jobs.store, service.settings, ana.person.name)


def test_without_an_id_the_page_says_where_to_go(ana: Seat, run_page: Run) -> None:
    page = run_page("run", ana)

    assert not page.exception
    assert "No training is chosen" in page.info[0].value
    assert {"All experiments", "New training"} <= {one.proto.label for one in page.get("page_link")}


def test_a_waiting_run_tells_its_place_and_can_be_paused_resumed_and_cancelled(
    service: Service, ana: Seat, run_page: Run
) -> None:
    id = submit(ana)

    page = run_page("run", ana, id=id)

    assert stages(page) == ["blue", "gray", "gray", "gray", "gray"]
    assert bar(page)[0] == 0
    assert bar(page)[1].startswith(f"Number {ana.client.task(id).position} in the queue")
    page.button(key="hold").click().run()
    assert ana.client.task(id).paused
    assert stages(page)[0] == "violet"
    assert page.button(key="hold").label == "Resume"
    page.button(key="hold").click().run()
    assert not ana.client.task(id).paused
    page.button(key="cancel").click().run()
    assert not ana.client.task(id).has_ended  # it is asked once more
    page.button(key="cancel_yes").click().run()
    assert ana.client.task(id).status == "REVOKED"
    assert stages(page)[0] == "orange"
    assert bar(page)[1] == "Cancelled before it began."
    assert [one.label for one in page.tabs] == [HISTORY, "Configuration"]


def test_a_running_one_shows_stage_curves_and_figures(service: Service, ana: Seat, run_page: Run) -> None:
    id = submit(ana)
    begin(service, id)
    assert stages(run_page("run", ana, id=id)) == ["green", "blue", "gray", "gray", "gray"]
    service.services.jobs.store.heartbeat(id, 1, "test", {"step": 0, "total": 40})
    assert bar(run_page("run", ana, id=id))[1] == "Preparing: the model and the data are read."

    second = submit(ana, "two")
    begin(service, second, steps=10)
    page = run_page("run", ana, id=second)

    assert not page.exception
    assert stages(page) == ["green", "green", "blue", "gray", "gray"]
    assert bar(page) == (25, "Training: step 10 of 40, about 1 min 5 s left.")
    assert {one.label: one.value for one in page.metric} == {
        "Loss": "0.1",
        "Accuracy": "75.00 %",
        "Learning rate": "0.001",
        "Tokens/s": "900",
        "CPU": "150 %",
        "Memory": "3.0 GiB",
    }
    loss, scores, *_, memory = charts(page)
    assert [one["name"] for one in loss["data"]] == ["Training", "Validation"]
    assert loss["data"][1]["y"] == [0.5]
    assert scores["data"][0]["y"] == [0.75]
    assert memory["data"][0]["y"] == [3.0] * 10
    assert all(chart.proto.alt for chart in page.get("plotly_chart"))
    assert "Training: 0.1 at the end, between 0.1 and 1." in told(page)
    service.services.jobs.store.heartbeat(second, 1, "test", {"step": 40, "total": 40})
    assert stages(run_page("run", ana, id=second)) == ["green", "green", "green", "blue", "gray"]


def test_small_figures_have_as_few_digits_as_their_tiles_have_room_for(ana: Seat) -> None:
    look = Look(ana.client, submit(ana))
    look.curves = {"training": {"figures": {"loss": [0.5, 2.2345e-05], "learning_rate": [5.9812e-05]}}}

    page = AppTest.from_function(_newest, kwargs={"look": look}).run()

    assert not page.exception
    values = {one.label: one.value for one in page.metric}
    assert (values["Loss"], values["Learning rate"]) == ("2.2e-05", "6e-05")


def _newest(look: object) -> None:
    from finetune30.ui.watching.curves import newest

    newest(look)


def test_the_log_is_shown_and_nothing_in_it_is_markup(service: Service, ana: Seat, run_page: Run) -> None:
    id = submit(ana)
    begin(service, id, steps=3)
    page = run_page("run", ana, id=id)

    page.session_state["tabs_4"] = LOG
    page.run()

    assert page.query_params["tab"] in ("log", ["log"])
    assert run_page("run", ana, id=id, tab="log").code  # a refresh opens it again
    assert MARKUP in "".join(one.value for one in page.code)
    assert MARKUP not in "".join(one.value for one in page.markdown)


def test_s105_what_others_wrote_is_inert(service: Service, ana: Seat, run_page: Run) -> None:
    store, id, failed = service.services.jobs.store, submit(ana), submit(ana, "failed")
    scores = {"accuracy": 0.5, "loss": 1.0, "rows": 2, "confusion": [[0, 1], [0, 1]]}
    figures = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 1}
    attempt = begin(service, id)
    store.finish(
        id, attempt, "test", Status.SUCCESS, metrics={"eval": scores | {"per_class": {MARKUP: figures, "b": figures}}}
    )
    attempt = begin(service, failed, steps=2)
    error = {"code": "x", "message": MARKUP, "where": MARKUP, "hint": MARKUP}
    store.finish(failed, attempt, "test", Status.FAILURE, error=error)

    for one in (id, failed):
        page = run_page("run", ana, id=one)
        assert not page.exception
        words = told(page)
        assert "script" in words
        assert not any(sign in words for sign in ("<script", "![x]", "[a](", "javascript:"))
        for chart in page.get("plotly_chart"):
            assert "<script" not in chart.proto.spec
    assert stages(page) == ["green", "green", "red", "gray", "gray"]
    assert "failed" in page.title[0].value


def test_a_failure_goes_on_from_its_checkpoint_as_one_new_run(service: Service, ana: Seat, run_page: Run) -> None:
    id = submit(ana)
    attempt = begin(service, id, steps=5)
    error = {"code": "out_of_memory", "message": "no memory is left", "where": "step 5", "hint": "a smaller batch"}
    service.services.jobs.store.finish(id, attempt, "test", Status.FAILURE, error=error)
    page = run_page("run", ana, id=id)
    assert "step 5" in page.error[0].value
    assert "a smaller batch" in page.info[0].value
    before = service.count()

    page.button(key="retry").click().run()
    again = page.query_params["id"]
    again = again if isinstance(again, str) else again[0]

    assert again != id
    assert ana.client.task(again).resumed_from == id
    assert page.title[0].value == "one"
    assert service.count() == before + 1


def test_a_finished_one_shows_result_examples_and_files(finished: str, ana: Seat, run_page: Run) -> None:
    page = run_page("run", ana, id=finished)

    assert not page.exception
    metrics = ana.client.task(finished).metrics or {}
    assert {one.label: one.value for one in page.metric}["Accuracy"] == f"{100 * metrics['eval']['accuracy']:.2f} %"
    assert stages(page) == ["green"] * 5
    per_class, examples = (one.value for one in page.dataframe)
    assert list(per_class["label"]) == ["negative", "positive"]
    (confusion,) = charts(page)
    assert [[int(cell) for cell in row] for row in confusion["data"][0]["text"]] == metrics["eval"]["confusion"]
    assert list(examples["certainty"]) == sorted(examples["certainty"])
    assert examples["text"].notna().all()
    page.session_state["tabs_6"] = FILES
    page.run()
    names = [one.proto.label for one in page.get("download_button")]
    assert "final\\_model\\.zip" in names
    assert "predictions\\.csv" in names
    assert any(name.startswith("checkpoint\\-") for name in names)
    for tab in ("Curves", LOG, HISTORY, "Configuration"):
        page.session_state["tabs_6"] = tab
        assert not page.run().exception


def test_a_deleted_one_is_gone_and_its_bytes_are_told(
    finished: str, ana: Seat, run_page: Run, service: Service
) -> None:
    page = run_page("run", ana, id=finished)
    page.button(key="delete").click().run()
    assert "that frees" in "".join(one.value for one in page.markdown)

    page.button(key="delete_yes").click().run()

    with pytest.raises(Missing):
        ana.client.experiment(finished)
    assert not (service.settings.results_dir / finished).exists()
    assert page.title[0].value == "Training"


def test_s106_of_another_users_run_nothing_is_shown(finished: str, bo: Seat, root: Seat, run_page: Run) -> None:
    page = run_page("run", bo, id=finished)

    assert [one.value for one in page.title] == ["Training"]
    assert "belongs to somebody else" in page.info[0].value
    assert not page.dataframe
    assert not page.metric
    for id in ("nobody_knows", "<b>x", "../../etc"):
        nothing = run_page("run", bo, id=id)
        assert nothing.info[0].value == page.info[0].value
        assert not nothing.error
        assert {one.proto.label for one in nothing.get("page_link")} >= {"All experiments"}
    assert run_page("run", root, id=finished).metric


def test_in_chinese(finished: str, service: Service, seat_of: Callable[..., Seat], run_page: Run) -> None:
    someone = seat_of(service.person(), "zh-TW")
    page = run_page("run", someone, id=submit(someone))

    assert "排在第" in bar(page)[1]
    assert [one.label for one in page.tabs] == ["曲線", "日誌", "歷程", "設定"]
    assert page.button(key="hold").label == "暫停"


def test_an_api_that_is_away_is_told_calmly_and_asked_again(cut_off: Seat, run_page: Run) -> None:
    page = run_page("run", cut_off, id="some_run")

    assert not page.exception
    assert not page.error
    assert "does not answer just now" in page.warning[0].value
    assert "tries again by itself" in "".join(one.value for one in page.caption)


class Way(httpx.HTTPTransport):
    """The network, which counts, and can be cut."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.is_cut = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        if self.is_cut:
            raise httpx.ConnectError("cut", request=request)
        return super().handle_request(request)


def test_a_look_asks_for_two_things_at_most_and_survives_an_api_that_goes_and_comes(
    service: Service, seat_of: Callable[..., Seat], run_page: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two seconds lie between the looks of one person, but not here.
    monkeypatch.setattr(looking, "NEAR", Near(count(step=2).__next__))
    way = Way()
    someone = seat_of(service.person(), transport=way, tries=1)
    id = submit(someone)
    way.asked.clear()
    run_page("run", someone, id=id)
    assert way.asked == [f"/task/{id}"]  # there are no curves before it begins
    begin(service, id, steps=4)
    way.asked.clear()
    run_page("run", someone, id=id)
    assert way.asked == [f"/task/{id}", f"/experiments/{id}/curves"]

    look = Look(someone.client, id)
    for log in (False, True, True, True):
        way.asked.clear()
        look.refresh()
        look.refresh_more(log=log)
        assert len(way.asked) == 2
    assert look.log is not None
    known, at = look.task, look.at
    way.is_cut = True
    way.asked.clear()
    look.refresh()
    look.refresh_more(log=True)
    assert len(way.asked) == 1
    assert look.fault is not None
    assert (look.task, look.at) == (known, at)
    assert look.is_live
    way.is_cut = False
    look.refresh()
    assert look.fault is None


def test_an_ended_one_is_not_asked_for_again(finished: str, ana: Seat) -> None:
    look = Look(ana.client, finished)
    look.refresh()

    assert not look.is_live
    assert look.once("answer", lambda: 1) == 1
    assert look.once("answer", lambda: 2) == 1


def test_an_attempt_that_goes_on_prepares_first(service: Service, ana: Seat) -> None:
    id = submit(ana)
    attempt = begin(service, id, steps=7)
    ana.client.pause(id)
    service.services.jobs.store.pause(id, attempt, "test")
    ana.client.resume(id)
    begin(service, id)
    look = Look(ana.client, id)
    look.refresh()
    look.refresh_more(log=False)

    assert look.task is not None
    assert look.task.progress is not None
    assert look.stage == "preparing"


def test_names_in_plots_stay_apart_and_are_no_markup() -> None:
    long = ["the same beginning of a name, one", "the same beginning of a name, two", "<a href='x'>1</a>"]
    figure = plots.confusion([[1, 0, 0], [0, 1, 0], [0, 0, 1]], long, right="right", answered="answered")

    axis = figure.layout.xaxis
    assert len(set(axis.ticktext)) == 3
    many = [f"a long beginning of labels, number {at}" for at in range(30)]
    large = plots.confusion([[1] * 30] * 30, many, right="right", answered="answered").layout
    assert len(set(large.xaxis.ticktext)) == 30
    assert large.xaxis.tickangle == -90
    assert large.height > 30 * 20
    assert list(axis.tickvals) == [0, 1, 2]
    assert "<a" not in figure.to_json().replace("\\u003c", "<")
    assert [cell for row in figure.data[0].text for cell in row].count("1") == 3
    assert plots.plain("a\nb", 10) == "a b"


def test_a_waiting_run_says_when_it_starts_only_as_surely_as_that_is_known(ana: Seat) -> None:
    task = ana.client.task(ana.client.train({}).task_id)
    for starts, told in (
        (None, "no worker takes runs of this queue just now"),
        (0.0, "in a moment"),
        (30.0, "within minutes"),  # also where nothing is before it, as after a failure that is tried again
        (7200.0, "in about 2 h"),
    ):
        said = sentence(task.model_copy(update={"position": 1, "starts_in_s": starts}), "queued")
        assert said.startswith("Number 1 in the queue. "), said
        assert told in said


def test_a_paused_one_keeps_its_place_and_shows_nothing_as_if_it_ran(
    service: Service, ana: Seat, run_page: Run
) -> None:
    id = submit(ana)
    attempt = begin(service, id, steps=10)
    ana.client.pause(id)
    service.services.jobs.store.pause(id, attempt, "test")

    page = run_page("run", ana, id=id)

    assert stages(page) == ["green", "green", "violet", "gray", "gray"]
    assert bar(page)[0] == 25
    assert bar(page)[1].startswith("Training paused at step 10 of 40.")
    assert not page.metric
    listed = run_page("experiments", ana)
    assert {one.label: one.value for one in listed.metric}["Paused"] == "1"
    assert {one.label: one.value for one in listed.metric}["Waiting"] == "0"


def test_a_registered_one_is_not_offered_to_be_deleted(finished: str, ana: Seat, run_page: Run) -> None:
    made = ana.client.register(f"kept-{ana.person.name}", finished)

    page = run_page("run", ana, id=finished).button(key="delete").click().run()

    assert "registered as a version" in page.warning[0].value
    assert made.address.replace("-", "\\-") in {one.proto.label for one in page.get("page_link")}
    assert "delete_yes" not in {one.key for one in page.button}


def test_data_that_was_refused_is_told_by_names_with_both_ways_on(service: Service, ana: Seat, run_page: Run) -> None:
    id = submit(ana)
    attempt = begin(service, id)
    message = "the data is not fit for training: contradictory_label: 3 rows; rare_class: one"
    error = {"code": "data_quality", "message": message, "where": "builtin:reviews"}
    service.services.jobs.store.finish(id, attempt, "test", Status.FAILURE, error=error)

    page = run_page("run", ana, id=id)

    assert "One text, several labels" in page.error[0].value
    assert "Rare labels" in page.error[0].value
    assert "contradictory" not in page.error[0].value
    again = [one.proto.label for one in page.get("page_link")]
    assert again.count("Run again with changes") == 1


def test_sent_data_is_called_by_its_file(ana: Seat, run_page: Run, tmp_path: Path) -> None:
    file = tmp_path / "films [1].csv"
    file.write_text("text,label\n" + "".join(f"a film number {at},{at % 2}\n" for at in range(40)), encoding="utf-8")
    sent = ana.client.checked(ana.client.upload(file).dataset_id)
    config = {"experiment_name": "one", "data": {"dataset_name": sent.dataset_name}}
    id = ana.client.train(config).task_id

    page = run_page("run", ana, id=id)

    assert sent.dataset_name not in "".join(one.value for one in page.caption).replace("\\", "")
    (link,) = [one.proto.label for one in page.get("page_link") if "films" in one.proto.label]
    assert "films \\[1\\]\\.csv" in link
    (listed,) = [one.value for one in run_page("experiments", ana).dataframe if "data" in one.value]
    assert list(listed["data"]) == [f"films [1].csv ({sent.dataset_id[:9]})"]


def test_the_log_is_readable() -> None:
    text = "2026-01-31T20:15:07.123456+00:00 error: no memory\\n  hint: a smaller batch"

    assert history.readable(text) == "2026-01-31 20:15:07 error: no memory\n  hint: a smaller batch"
    assert history.readable("no moment 2026-99-99T99:99:99+00:00") == "no moment 2026-99-99T99:99:99+00:00"
