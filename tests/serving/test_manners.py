"""Keys of other programs' shapes are honoured or refused; browsers elsewhere ask as the settings say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.serving.desk import Desk, serving

LONG = "film " * 300
PAGE = "https://films.example"


@pytest.fixture(scope="module")
def open_desk(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Pages of another origin may call it."""
    with serving(tmp_path_factory.mktemp("open"), tiny_model("bert"), {"CORS_ORIGINS": PAGE}) as found:
        found.run(seed=3)
        assert found.get("/ready").status_code == 200
        yield found


@pytest.mark.parametrize("path", ["/predict", "/"])
def test_what_was_cut_is_told_where_the_shape_has_no_place_for_it(open_desk: Desk, path: str) -> None:
    inputs: Any = [LONG, "film", "good", LONG]
    cut = open_desk.post(path, {"inputs": [[one] for one in inputs] if path == "/predict" else inputs})
    assert cut.headers["x-truncated"] == "0,3"
    assert "x-truncated" not in open_desk.post(path, {"inputs": "film"}).headers


@pytest.mark.parametrize(
    ("path", "keys"),
    [("/predict", {"truncate": False}), ("/", {"parameters": {"truncation": False}})],
)
def test_s97_who_wants_nothing_cut_is_told_what_is_too_long(open_desk: Desk, path: str, keys: dict[str, Any]) -> None:
    assert open_desk.post(path, {"inputs": "film", **keys}).status_code == 200
    one = open_desk.post(path, {"inputs": LONG, **keys})
    assert (one.status_code, one.json()["where"], one.json()["code"]) == (413, "body.inputs", "too_large")
    inputs: Any = [["film"], [LONG]] if path == "/predict" else ["film", LONG]
    many = open_desk.post(path, {"inputs": inputs, **keys})
    assert (many.status_code, many.json()["where"]) == (413, "body.inputs.1")


@pytest.mark.parametrize(
    ("path", "keys", "status"),
    [
        ("/predict", {"truncation_direction": "Right"}, 200),
        ("/predict", {"truncation_direction": "Left"}, 422),
        ("/predict", {"truncation_direction": 1}, 422),
        ("/predict", {"truncate": True}, 200),
        ("/predict", {"truncate": None}, 200),
        ("/predict", {"truncate": "yes"}, 422),
        ("/", {"parameters": {"truncation": True}}, 200),
        ("/", {"parameters": {"truncation": "longest_first"}}, 422),
        ("/", {"parameters": {"max_length": 8}}, 200),
        ("/", {"parameters": {"max_length": 7}}, 422),
        ("/", {"parameters": {"max_length": True}}, 422),
        ("/", {"parameters": {"max_length": 100_000}}, 422),
    ],
)
def test_keys_are_honoured_or_refused(open_desk: Desk, path: str, keys: dict[str, Any], status: int) -> None:
    assert open_desk.post(path, {"inputs": "film", **keys}).status_code == status


def test_max_length_is_honoured(open_desk: Desk) -> None:
    text = " ".join(text for text, _ in tiny.rows(3))
    short = open_desk.post("/", {"inputs": text, "parameters": {"max_length": 8}})
    whole = open_desk.post("/", {"inputs": text})
    assert short.headers["x-truncated"] == "0"
    assert short.json() != whole.json()


def test_where_a_base_model_lies_is_not_told(open_desk: Desk) -> None:
    for answer in (open_desk.post("/predict", {"text": "film"}), open_desk.get("/info"), open_desk.get("/adapters")):
        assert open_desk.model.name in answer.text
        assert str(open_desk.model.parent) not in answer.text


def test_pages_that_may_are_answered_with_cors(open_desk: Desk) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,authorization"}
    may = open_desk.client.options("/predict", headers={"Origin": PAGE, **asked})
    assert may.status_code == 200
    assert may.headers["access-control-allow-origin"] == PAGE
    answer = open_desk.client.post("/predict", json={"text": "film"}, headers={"Origin": PAGE})
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "X-Truncated" in answer.headers["access-control-expose-headers"]
    other = open_desk.client.options("/predict", headers={"Origin": "https://evil.example", **asked})
    assert other.status_code == 400
    assert "access-control-allow-origin" not in other.headers


def test_s103_a_refresh_with_another_content_is_refused(open_desk: Desk) -> None:
    for content in (b"{}", b""):
        headers = {"Content-Type": "text/plain"}
        assert open_desk.client.post("/adapters/refresh", content=content, headers=headers).status_code == 415
    assert open_desk.client.post("/adapters/refresh").status_code == 200
    assert open_desk.post("/adapters/refresh", {}).status_code == 200
