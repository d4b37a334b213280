"""Pages of datasets and their versions, against the real API and its real checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from finetune30.client import Client, Session
from finetune30.client.answers_more import Dataset
from finetune30.ui import fetching, quality
from finetune30.ui.datasets import dataset
from finetune30.ui.seats import SEATS, Seat
from tests.api.service import Person, Service

Run = Callable[..., Any]
MARKUP = "**b** ![x](http://evil/p.png) <script>alert(1)</script> [a](javascript:alert(1)).csv"
GOOD = "text,label\n" + "".join(
    f"{'a fine' if row % 2 else 'a dull'} film of number {row},{'good' if row % 2 else 'bad'}\n" for row in range(40)
)
FAULTY = (
    GOOD + "a fine film of number 1,good\n,good\na strange film,GOOD\n![x](http://evil/q.png),[odd](javascript:1)\n"
)
REFUSED = "was_ist_das,sorte\n" + GOOD.partition("\n")[2]


@dataclass
class Library:
    """Datasets of one person, made once: checking takes seconds."""

    seat: Seat
    good: Dataset
    faulty: Dataset
    refused: Dataset


@pytest.fixture(scope="module")
def library(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """Somebody with a good dataset, a faulty one with a strange name, and one that was refused."""
    person: Person = service.person()
    client = Client(service.url, session=Session(person.token, person.refresh_token))
    seat = SEATS.open(client, client.me(), "en")
    file = tmp_path_factory.mktemp("data") / "file.csv"
    sent = []
    for content, name in ((GOOD, "good.csv"), (FAULTY, MARKUP), (REFUSED, "refused.csv")):
        file.write_text(content)
        sent.append(client.upload(file, name=name).dataset_id)
    yield Library(seat, *(client.checked(one) for one in sent))
    SEATS.close(seat.id)
    client.close()


def texts(page: Any) -> str:
    """Every text of a page, as it was sent to the browser."""
    return "\n".join(
        str(node.value) for kind in ("markdown", "text", "caption", "title", "info") for node in page.get(kind)
    )


def in_tables(page: Any) -> str:
    return "\n".join(table.value.to_csv() for table in page.dataframe)


def pressed(page: Any, key: str) -> Any:
    return page.button(key=key).click().run()


def test_a_newcomer_sees_what_a_file_looks_like(ana: Seat, run_page: Run) -> None:
    page = run_page("data", ana)

    assert not page.exception
    assert page.title[0].value == "Data"
    assert "text,label" in page.code[0].value
    assert page.button(key="data_send").disabled


def test_the_list_tells_states_and_holds_ones_own(library: Library, bo: Seat, root: Seat, run_page: Run) -> None:
    page = run_page("data", library.seat)

    assert not page.exception
    told = page.dataframe[0].value
    assert list(told["name"]) == ["refused.csv", MARKUP, "good.csv"]
    assert [state[0] for state in told["state"]] == ["✕", "!", "✓"]
    assert told["state"][1] == "! Must be fixed"
    page.text_input(key="data_search").set_value("GOOD").run()
    assert list(page.dataframe[0].value["name"]) == ["good.csv"]
    assert not run_page("data", bo).dataframe
    assert "owner" in run_page("data", root).dataframe[0].value


def test_what_is_wrong_is_told_before_any_training(library: Library, run_page: Run) -> None:
    page = run_page("data", library.seat, id=library.faulty.dataset_id)

    assert not page.exception
    (verdict,) = page.error
    assert "would refuse this data" in verdict.value
    assert "Spellings of one label" in verdict.value
    named = in_tables(page)
    assert "train:42,a strange film" in named  # the row, and what stands in it
    assert "train:43" in named
    assert [metric.value for metric in page.metric] == ["44", "4", "22 : 1"]


def test_data_that_would_fail_is_not_called_good_and_trained_on_only_all_the_same(
    library: Library, run_page: Run
) -> None:
    page = run_page("data", library.seat, id=library.faulty.dataset_id)

    assert not page.success
    assert not any(one.key == "data_train" for one in page.button)
    page = pressed(page, "data_train_anyway")
    assert not page.exception
    assert page.session_state["draft"].values["data.on_quality_fail"] == "warn"
    assert not page.button(key="start").disabled

    page = run_page("submit", library.seat, data=library.faulty.dataset_name)
    assert page.button(key="start").disabled
    assert not any("in order" in one.value for one in page.success)
    page = pressed(page, "anyway")
    assert not page.button(key="start").disabled
    assert any("goes on all the same" in one.value for one in page.warning)


def test_what_can_be_mended_is_mended_by_one_click(library: Library, run_page: Run) -> None:
    page = run_page("data", library.seat, id=library.faulty.dataset_id)
    assert not any("finetune30 data validate" in one.value for one in page.code)

    page = pressed(page, "data_repair")

    assert not page.exception
    copy = next(iter(library.seat.client.datasets()))
    assert copy.name.endswith("-repaired.csv")
    assert page.query_params["id"] in (copy.dataset_id, [copy.dataset_id])
    assert any("repaired copy" in one.value for one in page.success)
    assert "Spellings of one label: 1 rows" in texts(page)
    library.seat.client.checked(copy.dataset_id)
    library.seat.client.delete_dataset(copy.dataset_id)


def test_in_chinese_the_findings_are_chinese(library: Library, run_page: Run) -> None:
    library.seat.language = "zh-TW"
    try:
        page = run_page("data", library.seat, id=library.faulty.dataset_id)
    finally:
        library.seat.language = "en"

    told = texts(page)
    assert "1 筆文字是空白" in told
    assert "1 筆資料的標籤寫法不同：'GOOD' for 'good'" in told
    for english in ("texts are", "rows ", "a run", "--fix keeps", "train has"):
        assert english not in told, english


def test_a_file_without_rows_is_told_what_to_do(ana: Seat, tmp_path: Path, run_page: Run) -> None:
    file = tmp_path / "head.csv"
    file.write_text("text,label\n")
    sent = ana.client.checked(ana.client.upload(file).dataset_id)

    page = run_page("data", ana, id=sent.dataset_id)

    assert not page.exception
    told = "\n".join(one.value for one in page.error)
    assert "has no rows" in told
    assert "all the same" not in told
    assert [metric.value for metric in page.metric][2:] in ([], ["–"])


def test_a_refused_file_shows_how_it_begins(ana: Seat, tmp_path: Path, run_page: Run) -> None:
    file = tmp_path / "odd.csv"
    file.write_text(REFUSED)
    sent = ana.client.checked(ana.client.upload(file).dataset_id)

    page = run_page("data", ana, id=sent.dataset_id)

    assert any(one.value.startswith("was_ist_das,sorte\na dull film of number 0,bad") for one in page.code)


def test_a_file_of_another_kind_is_told_in_the_pages_words(ana: Seat, run_page: Run) -> None:
    page = run_page("data", ana)
    page.file_uploader[0].set_value(("letter.pdf", b"%PDF-1.7", "application/pdf"))
    page = page.run()

    assert page.button(key="data_send").disabled
    assert "csv, tsv, jsonl" in page.error[0].value
    assert any("Up to" in one.value and "parquet" in one.value for one in page.caption)


def test_many_labels_that_begin_alike_are_told_apart(ana: Seat, tmp_path: Path, run_page: Run) -> None:
    file = tmp_path / "labels.csv"
    names = [f"a rather long label number {at}" for at in range(24)]
    file.write_text("text,label\n" + "".join(f"text {at} of {name},{name}\n" for name in names for at in range(8)))
    sent = ana.client.checked(ana.client.upload(file).dataset_id)

    page = run_page("data", ana, id=sent.dataset_id)
    assert "20 of 24 labels shown" in texts(page)
    assert len({quality.middle(name) for name in names}) == len(names)

    page = run_page("data", ana, id=sent.dataset_id, view="figures")
    assert not page.exception
    assert texts(page).count("No word stands out") <= 1


def test_s105_names_labels_and_texts_of_users_are_inert(library: Library, run_page: Run) -> None:
    for view in ("checks", "figures", "rows", "reading"):
        page = run_page("data", library.seat, id=library.faulty.dataset_id, view=view)

        assert not page.exception
        for raw in ("![x]", "<script>", "[a](", "[odd]("):
            # What Streamlit reads as Markdown has none of it unescaped; st.text and cells show it as it is.
            read = [
                str(node.value) for kind in ("markdown", "caption", "title", "info", "error") for node in page.get(kind)
            ]
            assert not any(raw in one for one in read), (view, raw)
    assert "![x](http://evil/q.png)" in in_tables(
        run_page("data", library.seat, id=library.faulty.dataset_id, view="rows")
    )


def test_the_figures_are_drawn_and_told(library: Library, run_page: Run) -> None:
    page = run_page("data", library.seat, id=library.good.dataset_id, view="figures")

    assert not page.exception
    lengths = page.dataframe[0].value
    assert list(lengths["unit"]) == ["characters", "words", "tokens"]
    assert lengths["median"][1] == 6
    assert len(page.get("plotly_chart")) == 2


def test_a_refused_file_says_why_and_is_read_otherwise(library: Library, run_page: Run) -> None:
    page = run_page("data", library.seat, id=library.refused.dataset_id)
    assert "no text column found" in page.error[0].value

    page.text_input(key="data_again_text_column").set_value("was_ist_das")
    page.text_input(key="data_again_label_column").set_value("sorte")
    page = pressed(page, "data_check_again")

    assert not page.exception
    found = library.seat.client.checked(library.refused.dataset_id)
    assert (found.state, found.options) == ("ready", {"text_column": "was_ist_das", "label_column": "sorte"})
    page = page.run()
    assert page.get("plotly_chart")


def test_another_users_dataset_is_never_shown(library: Library, bo: Seat, run_page: Run) -> None:
    for wanted in (library.good.dataset_id, "ds-0123456789abcdef", "../x"):
        page = run_page("data", bo, id=wanted)

        assert not page.exception
        assert "no such dataset here" in page.error[0].value
        assert page.button(key="data_back")
        assert page.title[0].value == "Data"
        assert not page.dataframe


def test_two_versions_are_compared_row_by_row(library: Library, run_page: Run) -> None:
    before, after = str(library.good.version), str(library.faulty.version)

    page = run_page("data", library.seat, show="versions", before=before[:12], after=after)

    assert not page.exception
    assert "a strange film" in in_tables(page)
    page = page.selectbox(key="versions_after").select(before).run()
    page = pressed(page, "versions_compare")
    assert "same rows" in page.success[0].value


def test_a_file_is_sent_once_and_checked_then_deleted(ana: Seat, run_page: Run) -> None:
    page = run_page("data", ana)
    page.file_uploader[0].set_value(("sent.csv", GOOD.encode(), "text/csv"))
    page = page.run()

    page = pressed(page, "data_send")

    assert not page.exception
    assert page.title[0].value.replace("\\", "") == "sent.csv"
    (sent,) = ana.client.datasets()
    assert page.query_params["id"] in (sent.dataset_id, [sent.dataset_id])
    found = ana.client.checked(sent.dataset_id)
    page = page.run()
    assert page.button(key="data_train")
    page = pressed(page, "data_delete_yes")
    assert not page.exception
    assert list(ana.client.datasets()) == []
    assert found.name == "sent.csv"
    assert page.title[0].value == "Data"


def test_a_refusal_of_the_api_leaves_the_form_as_it_was(ana: Seat, run_page: Run) -> None:
    page = run_page("data", ana)
    page.file_uploader[0].set_value(("notes.csv", b"\x00\x01\x02" * 50, "text/csv"))
    page.text_input(key="data_text_column").set_value("mine")
    page = page.run()

    page = pressed(page, "data_send")

    assert not page.exception
    if not page.query_params.get("id"):
        assert page.error
        assert page.text_input(key="data_text_column").value == "mine"


def test_an_api_that_is_down_is_told_calmly(cut_off: Seat, run_page: Run) -> None:
    for query in ({}, {"id": "ds-0123456789abcdef"}, {"show": "versions"}):
        page = run_page("data", cut_off, **query)

        assert not page.exception
        assert "Nothing is lost" in page.warning[0].value


def test_whoever_is_logged_out_meanwhile_is_taken_to_the_login(
    service: Service, seat_of: Callable[..., Seat], run_page: Run
) -> None:
    for name, query in (("data", {"id": "ds-0123456789abcdef"}), ("models", {"name": "films"})):
        seat = seat_of(service.person())
        seat.client.logout()
        page = run_page(name, seat, **query)

        assert not page.exception
        assert not page.error
        assert any("session has ended" in one.value for one in page.info)


def test_in_chinese(library: Library, run_page: Run) -> None:
    library.seat.language = "zh-TW"
    try:
        for query in ({}, {"id": library.faulty.dataset_id}, {"show": "versions"}):
            page = run_page("data", library.seat, **query)
            assert not page.exception
        page = run_page("data", library.seat, id=library.faulty.dataset_id)
        assert "同一標籤的不同寫法" in page.error[0].value
    finally:
        library.seat.language = "en"


def test_files_are_fetched_when_they_are_asked_for(library: Library, tmp_path: Path) -> None:
    client, one = library.seat.client, library.good.dataset_id

    assert fetching.bytes_of(partial(dataset.file_of, client, one)) == GOOD.encode()
    assert b"<!doctype html>" in fetching.bytes_of(partial(dataset.page_of_report, client, one))[:200].lower()
