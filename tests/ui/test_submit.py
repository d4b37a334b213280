"""The page of a new training, against the real API: each of its states, and that what is started is what was shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from finetune30.client.configurations import read_configuration
from finetune30.errors import ConfigError
from finetune30.ui import shell
from finetune30.ui.options import Options
from finetune30.ui.pages import path_of
from finetune30.ui.seats import Seat
from finetune30.ui.submitting.draft import Draft, Form
from finetune30.ui.submitting.templates import read_file
from finetune30.ui.words import words
from tests.api.service import Service
from tests.proxy import Proxy

Look = Callable[..., AppTest]
MARKUP = "<script>alert(1)</script>![x](http://evil/p.png)"
ROWS = "".join(f"{'good' if at % 2 else 'bad'} room number {at},{'good' if at % 2 else 'bad'}\n" for at in range(60))


@pytest.fixture
def templates(tmp_path: Path) -> Iterator[Path]:
    """The operator's folder of templates; the page has it."""
    before = shell.OPTIONS
    shell.configure(Options(configs=tmp_path))
    yield tmp_path
    shell.configure(before)


@pytest.fixture
def bad_wire(service: Service, seat_of: Callable[..., Seat]) -> Iterator[tuple[Proxy, Seat]]:
    """A user, and the wire between the page and the API."""
    wire = Proxy(service.port)
    yield wire, seat_of(service.person(), api_url=f"http://127.0.0.1:{wire.port}", tries=1, patience_s=2, timeout_s=2)
    wire.close()


def sent(seat: Seat, tmp_path: Path, name: str, content: str) -> str:
    """A file of somebody's, checked."""
    path = tmp_path / "data.csv"
    path.write_text(content)
    dataset = seat.client.upload(path, name=name)
    return seat.client.checked(dataset.dataset_id).dataset_id


def said(page: AppTest) -> str:
    """Every text on it, without what makes it inert."""
    kinds = (page.markdown, page.caption, page.info, page.warning, page.error, page.success, page.text, page.code)
    return "\n".join(str(one.value) for kind in kinds for one in kind).replace("\\", "").replace("\u2060", "")


def field(page: AppTest, path: str, kind: str = "number_input") -> Any:
    """The widget of a key."""
    return getattr(page, kind)(key=f"field.{path}")


def test_a_newcomer_finds_four_answers_given_and_can_start(ana: Seat, run_page: Look) -> None:
    page = run_page("submit", ana)

    assert not page.exception
    assert [one.value for one in page.title] == ["New training"]
    assert field(page, "experiment_name", "text_input").value == "reviews"
    assert page.selectbox(key="source.sample").value == "builtin:reviews"
    assert field(page, "model.name", "selectbox").value == "builtin:minilm"
    assert field(page, "training.num_train_epochs").value == 3
    assert not page.button(key="start").disabled
    assert "Everything is in order." in said(page)
    assert not list(ana.client.tasks())


def test_every_key_of_the_schema_has_its_widget_with_name_and_help(ana: Seat, run_page: Look) -> None:
    page = run_page("submit", ana)

    drawn = {
        one.key.removeprefix("field.")
        for kind in ("text_input", "number_input", "selectbox", "multiselect", "toggle", "text_area")
        for one in getattr(page, kind)
        if one.key and one.key.startswith("field.")
    }
    keys = set(page.session_state["form"].fields)
    assert keys - drawn == {"data.dataset_name"}  # chosen in a way of its own
    assert "Expects a whole number from 1 to 512" in field(page, "lora.r").help
    assert "`lora.r`" in field(page, "lora.r").help
    assert (field(page, "lora.r").min, field(page, "lora.r").max) == (1, 512)


def test_started_is_what_was_shown_and_twice_is_once(ana: Seat, run_page: Look) -> None:
    page = run_page("submit", ana)
    field(page, "experiment_name", "text_input").set_value("my first").run()
    field(page, "lora.r").set_value(4)
    field(page, "training.warmup_steps").set_value(20.0)
    field(page, "lora.target_modules", "multiselect").set_value(["q_lin", "v_lin"])
    field(page, "training.class_weights", "text_area").set_value("negative: 1\npositive: 2.5")
    field(page, "lora.use_dora", "toggle").set_value(True)
    field(page, "training.per_device_train_batch_size", "selectbox").set_value("auto")
    page.number_input(key="priority").set_value(7)
    page.number_input(key="longest").set_value(30.0).run()
    shown = read_configuration(next(one.value for one in page.code if one.language == "yaml"))

    page.button(key="start").click().run()

    (task,) = ana.client.tasks()
    whole = ana.client.task(task.task_id)
    assert not page.exception
    assert whole.config == shown
    assert (whole.name, whole.priority, whole.max_runtime_s) == ("my first", 7, 1800)
    assert whole.config["lora"]["target_modules"] == ["q_lin", "v_lin"]
    assert whole.config["training"]["warmup_steps"] == 20
    assert whole.config["training"]["class_weights"] == {"negative": 1.0, "positive": 2.5}
    assert whole.config["training"]["per_device_train_batch_size"] == "auto"
    assert page.query_params["id"] == task.task_id  # the page of the run


def test_a_second_click_before_the_run_is_shown_makes_no_second_run(ana: Seat, run_page: Look) -> None:
    page = run_page("submit", ana)
    draft = page.session_state["draft"]
    made = ana.client.train(draft.config, queue="train", idempotency_key=draft.key)  # its answer was lost

    page.button(key="start").click().run()

    assert [one.task_id for one in ana.client.tasks()] == [made.task_id]


def test_who_comes_back_begins_anew(ana: Seat, run_page: Look) -> None:
    page = run_page("submit", ana)
    field(page, "lora.r").set_value(4).run()
    page.button(key="start").click().run()

    page._page_hash = calc_hash(path_of("submit"))
    page.query_params.clear()
    page.run()

    assert field(page, "lora.r").value == 8
    page.button(key="start").click().run()
    assert len(list(ana.client.tasks())) == 2


def test_faults_stand_beside_their_fields_and_nothing_starts(ana: Seat, run_page: Look) -> None:
    page = run_page("submit", ana, set="training.eval_steps=5")

    assert page.button(key="start").disabled
    assert ":red[:material/error: does not go together with: Evaluate]" in said(page)
    field(page, "training.eval_strategy", "selectbox").set_value("steps").run()
    assert not page.button(key="start").disabled
    field(page, "experiment_name", "text_input").set_value("../etc").run()
    assert page.button(key="start").disabled
    assert "expected 1 to 80 letters" in said(page)
    assert page.session_state["draft"].values["experiment_name"] == "../etc"


def test_a_value_no_widget_can_show_is_shown_as_it_is(ana: Seat, run_page: Look) -> None:
    page = run_page("submit", ana, set='lora.r="a lot"')

    raw = page.text_input(key="field.lora.r.raw")
    assert raw.value == "a lot"
    raw.set_value("16").run()
    assert field(page, "lora.r").value == 16
    assert not page.button(key="start").disabled


def test_what_was_changed_stands_in_the_address_and_is_found_there(ana: Seat, run_page: Look) -> None:
    page = run_page("submit", ana)
    field(page, "lora.r").set_value(32).run()
    page.button(key="quick").click().run()

    told = page.query_params["set"]

    assert set(told) == {"lora.r=32", "training.learning_rate=0.001", "data.train_samples=400"}
    after = run_page("submit", ana, set=told)
    assert field(after, "lora.r").value == 32
    assert field(after, "data.train_samples").value == 400
    after.button(key="undo").click().run()
    assert field(after, "lora.r").value == 8
    assert "set" not in after.query_params


def test_run_again_with_changes_begins_with_that_run(ana: Seat, run_page: Look) -> None:
    first = ana.client.train({"experiment_name": "first", "lora": {"r": 2}}, priority=3)

    page = run_page("submit", ana, **{"from": first.task_id})

    assert field(page, "lora.r").value == 2
    assert page.number_input(key="priority").value == 3
    assert "Begins with the settings of first" in said(page)
    field(page, "lora.r").set_value(6).run()
    page.button(key="start").click().run()
    newest = next(iter(ana.client.tasks()))
    assert (ana.client.task(newest.task_id).config["lora"]["r"], newest.priority) == (6, 3)


def test_another_users_run_and_data_stay_theirs(ana: Seat, bo: Seat, run_page: Look, tmp_path: Path) -> None:
    hers = ana.client.train({"experiment_name": "secret plan"})
    (tmp_path / "data.csv").write_text(f"text,label\n{ROWS}")
    data = ana.client.upload(tmp_path / "data.csv", name="secret.csv").dataset_id

    page = run_page("submit", bo, **{"from": hers.task_id, "data": f"upload:{data}"})

    assert not page.exception
    assert "secret" not in said(page)
    assert "There is no such thing for you here" in page.info[0].value
    assert page.button(key="start").disabled
    page.segmented_control(key="source.mode").set_value("mine").run()
    assert "secret" not in said(page)


def test_an_unknown_run_is_said_and_the_form_is_there(ana: Seat, run_page: Look) -> None:
    page = run_page("submit", ana, **{"from": "nobody_knows"})

    assert "There is no such thing for you here" in page.info[0].value
    assert not page.button(key="start").disabled


def test_ones_data_is_looked_at_before_the_start(ana: Seat, run_page: Look, tmp_path: Path) -> None:
    data = sent(ana, tmp_path, "hotel_reviews.csv", f"text,label\n{ROWS}{MARKUP},bad\n")

    page = run_page("submit", ana, data=f"upload:{data}")

    assert field(page, "experiment_name", "text_input").value == "hotel reviews"
    assert [one.value for one in page.metric][:2] == ["61", "2"]
    assert not page.button(key="start").disabled
    page.button(key="start").click().run()
    (task,) = ana.client.tasks()
    assert ana.client.task(task.task_id).config["data"]["dataset_name"] == f"upload:{data}"


def test_data_that_cannot_be_read_says_why_and_is_checked_again(ana: Seat, run_page: Look, tmp_path: Path) -> None:
    data = sent(ana, tmp_path, "odd.csv", f"zeile,art\n{ROWS}")

    page = run_page("submit", ana, data=f"upload:{data}")

    assert "no text column found" in said(page)
    assert page.button(key="start").disabled
    field(page, "data.text_column", "text_input").set_value("zeile").run()
    field(page, "data.label_column", "text_input").set_value("art").run()
    page.button(key="source.again").click().run()
    ana.client.checked(data)
    page.run()
    assert not page.exception
    assert not page.button(key="start").disabled


def test_a_file_is_sent_right_here(ana: Seat, run_page: Look) -> None:
    page = run_page("submit", ana)
    page.segmented_control(key="source.mode").set_value("upload").run()
    assert "Choose the data first." in said(page)
    assert page.button(key="start").disabled

    page.file_uploader(key="source.file").set_value(
        ("<b>spam</b>.csv", f"text,label\n{ROWS}".encode(), "text/csv")
    ).run()

    (dataset,) = ana.client.datasets()
    assert dataset.name == "<b>spam</b>.csv"
    ana.client.checked(dataset.dataset_id)
    page.run()
    assert not page.exception
    assert page.segmented_control(key="source.mode").value == "mine"
    assert page.session_state["draft"].values["data.dataset_name"] == dataset.dataset_name
    assert not page.button(key="start").disabled
    assert "<b>" not in said(page)


def test_a_file_that_is_refused_is_said_with_the_reason(ana: Seat, run_page: Look) -> None:
    page = run_page("submit", ana)
    page.segmented_control(key="source.mode").set_value("upload").run()

    page.file_uploader(key="source.file").set_value(("data.csv", b"PK\x03\x04 no table", "text/csv")).run()

    assert not page.exception
    assert page.error
    assert not list(ana.client.datasets())
    assert page.button(key="start").disabled


def test_without_data_of_ones_own_it_says_where_to_begin(ana: Seat, run_page: Look) -> None:
    page = run_page("submit", ana)

    page.segmented_control(key="source.mode").set_value("mine").run()

    assert "You have not sent any data yet" in said(page)
    page.segmented_control(key="source.mode").set_value("sample").run()
    assert not page.button(key="start").disabled


def test_templates_are_offered_and_a_faulty_one_is_told(ana: Seat, run_page: Look, templates: Path) -> None:
    (templates / "default.yaml").write_text("experiment_name: usual\n")
    (templates / "small.yaml").write_text("extends: default.yaml\nlora: {r: 2}\n")
    (templates / "faulty.yaml").write_text("lora: {r: many}\n")
    page = run_page("submit", ana)
    assert page.selectbox(key="template").options[0] == "The usual settings"

    page.selectbox(key="template").set_value("small").run()
    assert field(page, "lora.r").value == 2
    page.selectbox(key="template").set_value("faulty").run()

    assert "faulty.yaml" in said(page)
    assert str(templates) not in said(page)
    assert field(page, "lora.r").value == 8


def test_a_file_of_ones_own_is_read_key_by_key(ana: Seat, run_page: Look) -> None:
    page = run_page("submit", ana)
    content = b"extends: default.yaml\nlora: {rank: 4, bais: all}\ntraining: {learning_rate: fast}\n"
    page.file_uploader(key="own_file_chosen").set_value(("mine.yaml", content, "text/yaml")).run()
    page.button(key="own_file_take").click().run()

    assert field(page, "lora.r").value == 4  # its other name
    assert page.text_input(key="field.training.learning_rate.raw").value == "fast"
    page.button(key="meant.lora.bais").click().run()
    assert field(page, "lora.bias", "selectbox").value == "all"
    page.text_input(key="field.training.learning_rate.raw").set_value("0.001").run()
    assert not page.button(key="start").disabled


def test_all_that_is_wrong_with_a_file_is_told_in_one_go(ana: Seat, run_page: Look) -> None:
    page = run_page("submit", ana)
    content = b"model: {name: nobodys}\nlora: {bais: all}\ntraining: {learning_rate: fast}\n"

    page.file_uploader(key="own_file_chosen").set_value(("mine.yaml", content, "text/yaml")).run()
    page.button(key="own_file_take").click().run()

    assert "Please correct first: 3" in said(page)
    assert [one for one in ("Base model", "lora.bais", "Learning rate") if f"**{one}**" not in said(page)] == []
    assert {one.key for one in page.button} >= {"meant.lora.bais", "out.lora.bais"}


@pytest.mark.parametrize("content", [b"extends: /etc/passwd\n", b"\xff\xfe", b"- a list\n", b"a: &x 1\n", b"\x00"])
def test_a_file_that_is_none_of_ours_changes_nothing(ana: Seat, run_page: Look, content: bytes) -> None:
    page = run_page("submit", ana, set="lora.r=3")

    page.file_uploader(key="own_file_chosen").set_value(("mine.yaml", content, "text/yaml")).run()
    page.button(key="own_file_take").click().run()

    assert not page.exception
    assert page.error
    assert "root:" not in said(page)


def test_the_api_down_is_a_calm_note(cut_off: Seat, run_page: Look) -> None:
    page = run_page("submit", cut_off)

    assert not page.exception
    assert page.warning
    assert page.button(key="again")


def test_the_api_away_for_a_while_loses_nothing(bad_wire: tuple[Proxy, Seat], run_page: Look) -> None:
    wire, seat = bad_wire
    page = run_page("submit", seat)
    wire.become("reset")

    field(page, "lora.r").set_value(5).run()

    assert not page.exception
    assert "nothing is checked" in said(page)
    page.button(key="start").click().run()
    assert "makes no second training" in said(page)
    wire.become("pass")
    page.button(key="start").click().run()
    (task,) = seat.client.tasks()
    assert seat.client.task(task.task_id).config["lora"]["r"] == 5


def test_an_answer_that_was_lost_makes_no_second_training(bad_wire: tuple[Proxy, Seat], run_page: Look) -> None:
    wire, seat = bad_wire
    page = run_page("submit", seat)
    wire.become("mute")

    page.button(key="start").click().run()

    assert "makes no second training" in said(page)
    wire.become("pass")
    page.button(key="start").click().run()
    (task,) = seat.client.tasks()
    assert page.query_params["id"] == task.task_id


def test_what_was_said_of_one_dataset_is_not_said_of_the_next(ana: Seat, run_page: Look, templates: Path) -> None:
    (templates / "sst2.yaml").write_text(
        "model: {num_labels: 2}\ndata: {dataset_name: nyu-mll/glue, dataset_config: sst2, text_column: sentence}\n"
    )
    page = run_page("submit", ana, template="sst2")
    assert field(page, "data.dataset_config", "text_input").value == "sst2"

    page.segmented_control(key="source.mode").set_value("sample").run()

    values = page.session_state["draft"].values
    assert [values[key] for key in ("data.dataset_config", "data.text_column", "model.num_labels")] == [None] * 3
    assert not field(page, "data.text_column", "text_input").value
    page.segmented_control(key="source.mode").set_value("named").run()
    assert (values["data.dataset_name"], values["data.dataset_config"]) == ("nyu-mll/glue", "sst2")


def test_the_language_may_change_while_one_fills_in(ana: Seat, run_page: Look, templates: Path) -> None:
    (templates / "small.yaml").write_text("lora: {r: 2}\n")
    page = run_page("submit", ana, template="small", set="lora.lora_alpha=5")

    ana.language = "zh-TW"
    page.run()

    assert page.selectbox(key="template").options[0] == "一般設定"
    assert (page.selectbox(key="template").value, page.selectbox(key="source.sample").value) == (
        "small",
        "builtin:reviews",
    )
    assert field(page, "lora.lora_alpha").value == 5


def test_in_chinese(service: Service, seat_of: Callable[..., Seat], run_page: Look) -> None:
    page = run_page("submit", seat_of(service.person(), "zh-TW"), set="lora.r=0")

    assert [one.value for one in page.title] == ["新增訓練"]
    assert ":red[:material/error: 應為1 以上、512 以下的整數]" in said(page)
    assert "學習率" in field(page, "training.learning_rate").label
    assert "AdamW 的最高學習率" in field(page, "training.learning_rate").help


def test_s105_markup_in_a_name_or_an_address_is_shown_as_text(ana: Seat, run_page: Look) -> None:
    page = run_page("submit", ana, set=f'experiment_name="{MARKUP}"')

    for kind in (page.markdown, page.error, page.info, page.caption):
        for one in kind:
            assert "<script>" not in one.value
            assert "![x](" not in one.value
    assert page.button(key="start").disabled


WRONG = [
    f"seed={'9' * 400}",
    "lora.r=-99999999999999999999999",
    "training.learning_rate=1e999",
    r'experiment_name="\ud800"',
    'training.class_weights={"a":1e999}',
    "training.learning_rate=NaN",
    'training.class_weights=["a"]',
]


@pytest.mark.parametrize("told", WRONG)
def test_whatever_an_address_says_there_is_a_form_and_a_fault_beside_it(ana: Seat, run_page: Look, told: str) -> None:
    path = told.partition("=")[0]
    assert path in Form.of(ana.client).fields
    page = run_page("submit", ana, set=told)

    assert not page.exception
    assert words("shell.fault", "en", number="")[:20] not in said(page)
    assert page.button(key="start").disabled
    judged = page.session_state["draft"].judge(ana.client)
    assert judged.silence is None
    assert path in judged.faults


def test_a_file_with_what_json_cannot_hold_has_its_faults_beside_its_fields(ana: Seat) -> None:
    form = Form.of(ana.client)
    found = read_file(b"training: {learning_rate: .inf, weight_decay: .nan}\nlora: {r: 4}\n", ana.client, form)

    assert found.values["lora.r"] == 4
    draft = Draft(dict(form.defaults), values=dict(found.values))
    assert set(draft.judge(ana.client).faults) >= {"training.learning_rate", "training.weight_decay"}


def test_a_file_of_thousands_of_keys_is_no_configuration(ana: Seat) -> None:
    many = "\n".join(f"key{number}: 1" for number in range(5000))
    with pytest.raises(ConfigError, match="has 5000 keys"):
        read_file(many.encode(), ana.client, Form.of(ana.client))


def test_a_quick_try_takes_no_more_rows_than_there_are_and_tells_chance(
    ana: Seat, run_page: Look, tmp_path: Path
) -> None:
    page = run_page("submit", ana)
    page.button(key="quick").click().run()
    assert field(page, "data.train_samples").value == 400
    assert "50 %" in said(page)

    dataset = sent(ana, tmp_path, "small.csv", f"text,label\n{ROWS}")
    page = run_page("submit", ana, data=f"upload:{dataset}")
    page.button(key="quick").click().run()
    assert field(page, "data.train_samples").value is None
    assert not page.exception
    assert "Compare its accuracy with chance: 50" in said(page)


def test_a_misspelt_name_is_told_the_one_that_was_meant(ana: Seat, run_page: Look) -> None:
    page = run_page("submit", ana)
    page.segmented_control(key="source.mode").set_value("named").run()
    page.text_input(key="source.named").set_value("builtin:reveiws").run()

    assert not page.exception
    assert "did you mean builtin:reviews?" in said(page)
    assert "ALLOWLIST" not in said(page)
    page.button(key="near.data.dataset_name").click().run()
    assert not page.exception
    assert page.session_state["draft"].values["data.dataset_name"] == "builtin:reviews"
    assert page.selectbox(key="source.sample").value == "builtin:reviews"


def test_a_misspelt_model_of_a_file_is_told_the_one_that_was_meant(ana: Seat, run_page: Look) -> None:
    page = run_page("submit", ana, set='model.name="builtin:minilmm"')

    assert "did you mean builtin:minilm?" in said(page)
    page.button(key="near.model.name").click().run()
    assert not page.exception
    assert field(page, "model.name", "selectbox").value == "builtin:minilm"
    assert not page.button(key="start").disabled


def test_the_name_follows_the_data_until_somebody_names_it(ana: Seat, run_page: Look, tmp_path: Path) -> None:
    sent(ana, tmp_path, "rooms_set.csv", f"text,label\n{ROWS}")
    page = run_page("submit", ana)
    page.selectbox(key="source.sample").select("builtin:reviews-zh").run()
    assert field(page, "experiment_name", "text_input").value == "reviews-zh"
    page.segmented_control(key="source.mode").set_value("mine").run()
    assert field(page, "experiment_name", "text_input").value == "rooms set"
    field(page, "experiment_name", "text_input").set_value("my own").run()
    page.segmented_control(key="source.mode").set_value("sample").run()
    page.selectbox(key="source.sample").select("builtin:reviews").run()
    assert field(page, "experiment_name", "text_input").value == "my own"


def test_words_of_a_choice_have_a_name_in_both_languages(ana: Seat, run_page: Look) -> None:
    page = run_page("submit", ana)
    assert "stop before training" in said(page)

    ana.language = "zh-TW"
    page.run()

    assert not page.exception
    assert field(page, "data.on_quality_fail", "selectbox").value == "stop"
    assert "訓練前停止" in said(page)
