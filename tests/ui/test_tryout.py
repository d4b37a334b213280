"""The page where sentences and files are tried, against a real API and a real service of predictions beside it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune30.ui.seats import Seat
from finetune30.ui.trying import labelled
from finetune30.ui.trying.labelled import Unreadable
from tests.api.service import Service
from tests.serving.desk import Desk, serving

Run = Callable[..., Any]
MARKUP = "**b** ![x](http://evil/p.png) <script>alert(1)</script> [a](javascript:alert(1))"


@pytest.fixture(scope="module")
def desk(service: Service, tiny_model: Callable[[str], Path]) -> Iterator[Desk]:
    """The service that answers with the adapters of the API's runs; nobody needs a token there."""
    settings = service.settings
    values = {"RESULTS_DIR": settings.results_dir, "DATA_DIR": settings.data_dir, "DATABASE_URL": settings.database_url}
    with serving(settings.results_dir, tiny_model("bert"), values) as found:
        yield found


@pytest.fixture
def asker(service: Service, desk: Desk, seat_of: Callable[..., Seat]) -> Seat:
    """A user who knows where the service is."""
    return at(seat_of(service.person()), desk.url)


def at(seat: Seat, url: str) -> Seat:
    seat.client.serving_url = url
    return seat


def asks(page: Any, text: str, how: str = "lines") -> Any:
    page.text_area(key="try_text").set_value(text)
    page.radio(key="try_how").set_value(how)
    return page.button(key="try_ask").click().run()


def texts_of(page: Any) -> list[str]:
    return [one.value for one in page.text]


def test_a_newcomer_is_shown_the_way(ana: Seat, run_page: Run) -> None:
    page = run_page("try", ana)

    assert not page.exception
    assert any("Nothing to try yet" in one.value for one in page.markdown)
    assert page.button(key="try_to_submit")


def test_two_adapters_answer_side_by_side(asker: Seat, desk: Desk, run_page: Run) -> None:
    one, two = (desk.run(owner=asker.person.name, seed=seed) for seed in (3, 4))
    desk.alias(f"m-{asker.person.name}", "champion", one, asker.person.name)
    page = run_page("try", asker)
    (chosen,) = page.multiselect(key="model").value
    assert chosen == f"m-{asker.person.name}@champion"
    page.multiselect(key="model").set_value([chosen, two])

    page = asks(page, f"good film\n\n  bad film \n{MARKUP}")

    assert not page.exception
    assert texts_of(page) == ["good film", "bad film", MARKUP]
    assert [metric.value.endswith(" ms") for metric in page.metric] == [True, True]
    assert len(page.get("progress")) == 6
    assert any("of 3 texts" in told.value or "all 3 texts" in told.value for told in [*page.info, *page.success])
    read = [str(told.value) for kind in ("markdown", "caption", "info") for told in page.get(kind)]
    assert not [told for told in read if "![x]" in told or "<script>" in told]
    page.session_state["language"] = "zh-TW"
    asker.language = "zh-TW"
    assert texts_of(page.run()) == ["good film", "bad film", MARKUP]  # answers stay


def test_many_texts_are_a_table(asker: Seat, desk: Desk, run_page: Run) -> None:
    run = desk.run(owner=asker.person.name)
    page = asks(run_page("try", asker, model=run), "\n".join(f"film {at}" for at in range(20)))

    assert not page.exception
    table = page.dataframe[0].value
    assert list(table["text"]) == [f"film {at}" for at in range(20)]
    assert set(table["label_0"]) <= {"label 0", "label 1"}
    assert len(asks(page, "a\nb\nc", "whole").text) == 1


def test_second_texts_for_a_model_of_single_ones_are_told_to_be_the_matter(
    asker: Seat, desk: Desk, run_page: Run
) -> None:
    run = desk.run(owner=asker.person.name)
    page = run_page("try", asker, model=run)
    page.text_area(key="try_pair").set_value("a second one")

    page = asks(page, "one")

    assert not page.exception
    assert "trained on single texts" in page.error[0].value


def test_what_cannot_be_asked_is_said_and_what_was_typed_stays(asker: Seat, desk: Desk, run_page: Run) -> None:
    run = desk.run(owner=asker.person.name)
    page = asks(run_page("try", asker, model=run), " ")
    assert "Type a text" in page.warning[0].value
    page = asks(page, "a\n" * 513)
    assert "513" in page.warning[0].value
    page.text_area(key="try_pair").set_value("only one")
    page = asks(page, "a\nb")
    assert "needs its own" in page.warning[0].value
    page.text_area(key="try_pair").set_value("")
    page.multiselect(key="model").set_value([])
    page = asks(page, "a\nb")
    assert "Choose who answers" in page.warning[0].value
    assert page.text_area(key="try_text").value == "a\nb"


def test_another_users_run_is_not_asked_though_the_service_would_answer(
    asker: Seat, bo: Seat, desk: Desk, run_page: Run
) -> None:
    theirs = desk.run(owner=bo.person.name)
    desk.run(owner=asker.person.name)
    assert desk.post("/predict", {"text": "good film", "adapter": theirs}).status_code == 200

    page = run_page("try", asker, model=theirs)
    assert theirs not in page.multiselect(key="model").options
    page = asks(page, "good film")
    assert not page.exception
    assert any("There is no such thing for you here" in one.value for one in page.info)
    assert not page.metric
    page = with_file(page, "a.csv", b"text\ngood film\n")
    page = page.button(key="try_label").click().run()
    assert not page.get("download_button")


def test_a_service_that_is_down_is_told_calmly_and_nothing_is_lost(asker: Seat, desk: Desk, run_page: Run) -> None:
    page = run_page("try", asker, model=desk.run(owner=asker.person.name))
    page = asks(page, "good film")
    assert page.metric
    asker.client._leave_serving()
    del asker.client._serving_wire
    asker.client.serving_url = "http://127.0.0.1:1"
    page = page.run()

    assert not page.exception
    assert "does not answer" in page.warning[0].value
    assert page.code[0].value == "finetune30 serve"
    assert page.button(key="try_ask").disabled
    assert page.text_area(key="try_text").value == "good film"
    assert page.metric  # answers stay, too


def test_an_api_that_is_down_is_told_calmly(cut_off: Seat, run_page: Run) -> None:
    page = run_page("try", cut_off)
    assert not page.exception
    assert "Nothing is lost" in page.warning[0].value


def with_file(page: Any, name: str, content: bytes) -> Any:
    return page.file_uploader(key="try_file").upload(name, content).run()


def test_a_file_comes_back_labelled(asker: Seat, desk: Desk, run_page: Run) -> None:
    page = run_page("try", asker, model=desk.run(owner=asker.person.name))
    content = "id,Text,label\n" + "".join(f'{at},"=film, {at}",x\n' for at in range(70)) + "70, ,x\n"

    page = with_file(page, "films.csv", content.encode())
    assert page.selectbox(key="try_column").value == "Text"
    page = page.button(key="try_label").click().run()

    assert not page.exception
    assert "71 rows" in page.success[0].value
    done = page.session_state["try_labelled"]
    assert done.name == "films-labelled.csv"
    rows = list(csv.DictReader(io.StringIO(done.content.decode("utf-8-sig"))))
    assert [row["id"] for row in rows] == [str(at) for at in range(71)]
    assert rows[0]["Text"] == "'=film, 0"
    assert {row["source_label"] for row in rows} == {"x"}
    assert {row["label"] for row in rows[:70]} <= {"label 0", "label 1"}
    assert (rows[70]["label"], rows[70]["probability"]) == ("", "")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.pdf", b"x", "ending"),
        ("a.csv", b"\xff\xff\xffx", "encoding"),
        ("a.csv", b"a\0b\n1\n", "encoding"),
        ("a.csv", b"", "empty"),
        ("a.csv", b"text\n", "empty"),
        ("a.csv", b'text\n"never closed\n', "csv"),
        ("a.csv", b"text,label\nwith, comma, in it\n", "width"),
        ("a.csv", b"text,text\na,b\n", "twice"),
        ("a.csv", ",".join(map(str, range(201))).encode() + b"\n", "columns"),
        ("a.txt", b"a\n" * 20_001, "many"),
        ("a.txt", b"a" * ((20 << 20) + 1), "large"),
        ("a.jsonl", b'{"text": "a"}\n[1]\n', "json"),
        ("a.jsonl", b"{\n", "json"),
        ("a.jsonl", b"[" * 100_000, "json"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(name: str, content: bytes, why: str) -> None:
    with pytest.raises(Unreadable) as caught:
        labelled.read(name, content)
    assert caught.value.why == why


def test_every_reason_is_worded(asker: Seat, desk: Desk, run_page: Run) -> None:
    page = run_page("try", asker, model=desk.run(owner=asker.person.name))
    page = with_file(page, "a.csv", b"text,![x](http://evil/p.png),![x](http://evil/p.png)\na,b,c\n")
    assert not page.exception
    assert "Two columns are named" in page.error[0].value
    assert "![x]" not in page.error[0].value


def test_formats_come_back_as_they_came() -> None:
    answers = {"label": ["p", "n"]}
    lines = labelled.read("a.jsonl", '{"text": "\u2028é", "n": 1}\n"just a text"\n'.encode())
    assert lines.texts("text") == ["\u2028é", "just a text"]
    assert [json.loads(line)["label"] for line in labelled.written(lines, answers).decode().split("\n") if line] == [
        "p",
        "n",
    ]
    tabs = labelled.read("a.tsv", b"text\tx\n=1+1\t2\nb\t3\n")
    assert labelled.written(tabs, answers) == b"text\tx\tlabel\n=1+1\t2\tp\nb\t3\tn\n"
    plain = labelled.read("a.txt", "first\n\nsecond, with comma\n".encode("utf-16"))
    assert labelled.written(plain, answers).decode("utf-8-sig") == 'text,label\nfirst,p\n"second, with comma",n\n'
    assert labelled.read("a.csv", b"id;sentence\n1;a\n").usual == 1
    assert labelled.too_long(["a", "b" * 1_000_000]) == 2
