"""Predictions over HTTP: shapes, who may ask, what is refused, names that move under load."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from huggingface_hub import InferenceClient

from finetune30.access import Role
from finetune30.registry import Actor
from tests import tiny
from tests.modeling.test_shared import alone
from tests.serving.desk import Desk, serving

TEXTS = [text for text, _ in tiny.rows(20)]


def waited(check: Callable[[], Any]) -> Any:
    """What ``check`` gives as soon as it gives anything."""
    until = time.monotonic() + 30
    while not (found := check()):
        assert time.monotonic() < until, "it never came"
        time.sleep(0.02)
    return found


def newest(desk: Desk, seed: int) -> str:
    """A new run of two labels, which answers by now."""
    run = desk.run(seed=seed)
    waited(lambda: desk.post("/predict", {"text": "film"}).json()["adapter"]["id"] == run)
    return run


def test_the_answer_has_the_shape_of_the_specification(desk: Desk) -> None:
    run = newest(desk, 41)
    found = desk.post("/predict", {"text": TEXTS[0]}).json()
    expected = alone(desk.folder(run), desk.model, TEXTS[:1])[0]
    assert {"label", "probability", "latency_ms", "base_model", "language"} <= found.keys()
    assert found["label"] == int(expected.argmax())
    assert found["label_name"] == f"label {expected.argmax()}"
    assert found["probability"] == pytest.approx(expected.max(), abs=1e-4)
    assert found["adapter"]["id"] == run
    assert len(found["adapter"]["sha256"]) == 64
    assert found["truncated"] is False
    assert found["base_model"] == desk.model.name  # where it lies is nobody's business


def test_many_texts_are_answered_in_their_order(desk: Desk) -> None:
    expected = alone(desk.folder(newest(desk, 42)), desk.model, TEXTS)
    found = desk.post("/predict", {"text": TEXTS, "top_k": 2}).json()
    assert [row["label"] for row in found["predictions"]] == expected.argmax(axis=1).tolist()
    for row, probabilities in zip(found["predictions"], expected, strict=True):
        assert [one["probability"] for one in row["top_k"]] == pytest.approx(sorted(probabilities)[::-1], abs=1e-4)


def test_each_row_may_name_its_adapter(desk: Desk) -> None:
    first, second = desk.run(labels=3, seed=11), desk.run(labels=5, seed=12)
    adapters = [first, second, first, second]
    found = desk.post("/predict", {"text": TEXTS[:4], "adapter": adapters}).json()["predictions"]
    assert [row["adapter"]["id"] for row in found] == adapters
    for at, row in enumerate(found):
        expected = alone(desk.folder(adapters[at]), desk.model, [TEXTS[at]])[0]
        assert row["label"] == int(expected.argmax())
        assert row["probability"] == pytest.approx(expected.max(), abs=1e-4)


def test_several_labels_are_told(desk: Desk) -> None:
    run = desk.run(labels=4, seed=13, multi_label=True)
    found = desk.post("/predict", {"text": TEXTS[0], "adapter": run}).json()
    expected = alone(desk.folder(run), desk.model, TEXTS[:1])[0]
    assert [one["label"] for one in found["labels"]] == np.flatnonzero(expected >= 0.5).tolist()


def test_long_texts_are_cut_and_it_is_said(desk: Desk) -> None:
    found = desk.post("/predict", {"text": [TEXTS[0], "film " * 300]}).json()["predictions"]
    assert [row["truncated"] for row in found] == [False, True]


def test_hugging_faces_client_works_unchanged(desk: Desk) -> None:
    run = newest(desk, 43)
    [[*expected]] = [alone(desk.folder(run), desk.model, TEXTS[:1])[0].tolist()]
    for url in (desk.url, f"{desk.url}/models/{run}"):
        found = InferenceClient(url).text_classification(TEXTS[0])
        assert sorted(one.score for one in found) == pytest.approx(sorted(expected), abs=1e-4)
        assert found[0].score == max(one.score for one in found)
    one = InferenceClient(desk.url).text_classification(TEXTS[0], top_k=1, function_to_apply="sigmoid")
    assert len(one) == 1
    none = desk.post("/", {"inputs": TEXTS[:3], "parameters": {"function_to_apply": "none"}}).json()
    soft = desk.post("/", {"inputs": TEXTS[:3]}).json()
    for logits, shares in zip(none, soft, strict=True):
        values = np.exp([one["score"] for one in logits])
        assert [one["score"] for one in shares] == pytest.approx((values / values.sum()).tolist(), abs=1e-4)


def test_text_embeddings_inferences_shape(desk: Desk) -> None:
    newest(desk, 44)
    one = desk.post("/predict", {"inputs": TEXTS[0]}).json()
    assert {frozenset(row) for row in one} == {frozenset({"label", "score"})}
    many = desk.post("/predict", {"inputs": [[TEXTS[0]], [TEXTS[1]]], "truncate": True}).json()
    assert [len(rows) for rows in many] == [2, 2]
    # Computed beside another text the last digit may differ.
    assert [row["label"] for row in many[0]] == [row["label"] for row in one]
    assert [row["score"] for row in many[0]] == pytest.approx([row["score"] for row in one], abs=1e-5)
    raw = desk.post("/predict", {"inputs": TEXTS[0], "raw_scores": True}).json()
    assert sum(row["score"] for row in raw) != pytest.approx(1)
    # Two texts are one pair, and this adapter reads single texts.
    refused = desk.post("/predict", {"inputs": TEXTS[:2]})
    assert refused.status_code == 422


BAD: dict[str, Any] = {
    "no text": {},
    "empty": {"text": ""},
    "blank": {"text": " \n\t"},
    "number": {"text": 3},
    "null": {"text": None},
    "object": {"text": {"a": 1}},
    "no texts": {"text": []},
    "one is empty": {"text": ["a", ""]},
    "one is a number": {"text": ["a", 7]},
    "too many": {"text": ["a"] * 513},
    "unknown key": {"text": "a", "adaptor": "b"},
    "top_k is zero": {"text": "a", "top_k": 0},
    "top_k is true": {"text": "a", "top_k": True},
    "adapters do not fit": {"text": ["a", "b"], "adapter": ["c"]},
    "pair for one": {"text": ["a", "b"], "text_pair": ["c"]},
    "pair is a list": {"text": "a", "text_pair": ["c"]},
    "adapter is a number": {"text": "a", "adapter": 3},
    "adapter is long": {"text": "a", "adapter": "a" * 161},
    "inputs is null": {"inputs": None},
    "inputs is empty": {"inputs": ""},
    "inputs is nothing": {"inputs": []},
    "three texts": {"inputs": [["a", "b", "c"]]},
    "uneven pairs": {"inputs": [["a", "b"], ["c"]]},
    "raw scores": {"inputs": "a", "raw_scores": "yes"},
    "a list": ["a"],
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
def test_s97_what_cannot_be_asked_is_refused(desk: Desk, body: Any) -> None:
    refused = desk.post("/predict", body)
    assert refused.status_code == 422, refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["detail"]


def test_a_misspelt_key_is_named(desk: Desk) -> None:
    refused = desk.post("/predict", {"txt": "a"}).json()
    assert "text" in refused["hint"]


@pytest.mark.parametrize(
    "address",
    [
        "../../etc/passwd",
        "..%2f..%2f",
        "~/adapter",
        "file:///etc/passwd",
        "http://169.254.169.254/",
        "s3://bucket/key",
        "org/repo",
        "/etc",
        "C:\\adapter",
        "a\u0000b",
        "\uff0e\uff0e\uff0fx",
        "a" * 160,
        "models:/",
        "name@",
        "name/0",
        "name/-1",
        "name@a@b",
    ],
)
def test_s64_an_address_is_never_a_path(desk: Desk, address: str) -> None:
    refused = desk.post("/predict", {"text": "a", "adapter": address})
    assert refused.status_code in (404, 422), refused.text
    assert address not in refused.text


def test_s95_s96_templates_and_classes_beside_a_model_are_never_run(
    tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    canary, model = tmp_path / "canary", Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))
    (model / "evil.py").write_text(f"open({str(canary)!r}, 'w')\nclass Pooling: pass\n")
    (model / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": "evil.Pooling"}]))
    template = "{{ cycler.__init__.__globals__.os.mkdir('" + str(canary) + "') }}"
    (model / "chat_template.jinja").write_text(template)
    told = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps({**told, "chat_template": template}))

    with serving(tmp_path, model, {}) as desk:
        desk.run()
        answer = desk.post("/predict", {"text": TEXTS[0]})

    assert answer.status_code == 200, answer.text
    assert not canary.exists()


def test_s98_unknown_foreign_and_unfinished_adapters(guarded: Desk) -> None:
    ana, bo, root = guarded.token("ana"), guarded.token("bo"), guarded.token("root", Role.ADMIN)
    mine = guarded.run(owner="ana", seed=21)
    waiting = guarded.store.create(tiny.experiment(guarded.model, "builtin:reviews"), owner="ana", tz="UTC").id
    body = {"text": "film", "adapter": mine}
    loads = guarded.service.following.host.loads

    assert guarded.post("/predict", body, bo).status_code == 403
    assert guarded.service.following.host.loads == loads  # not even loaded
    assert guarded.post("/predict", body, ana).status_code == 200
    assert guarded.post("/predict", body, root).status_code == 200
    assert guarded.post("/predict", body, bo).status_code == 403
    assert guarded.post("/predict", {**body, "adapter": "nothing_20260101_000000"}, ana).status_code == 404
    assert guarded.post("/predict", {**body, "adapter": waiting}, ana).status_code == 409
    guarded.models.register("films", guarded.models.candidate(mine), Actor("ana"), alias="champion")
    assert guarded.post("/predict", {**body, "adapter": "films@champion"}, bo).status_code == 403
    from finetune30.registry import Visibility

    guarded.models.edit("films", Actor("ana"), visibility=Visibility.TEAM)
    waited(lambda: guarded.post("/predict", {**body, "adapter": "films@champion"}, bo).status_code == 200)
    seen = guarded.get("/adapters", bo).json()["adapters"]
    assert {one.get("model") for one in seen} <= {"films"}


def test_s100_tokens_are_needed_beside_a_platform(guarded: Desk) -> None:
    body = {"text": "film"}
    for headers in ({}, {"Authorization": "Basic abc"}, {"Authorization": "Bearer x.y.z"}, {"X-API-Key": "abc"}):
        refused = guarded.client.post("/predict", json=body, headers=headers)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
    for path in ("/adapters", "/info", "/metrics"):
        assert guarded.get(path).status_code == 401
    assert guarded.post("/adapters/refresh", {}).status_code == 401
    assert guarded.get("/health").status_code == 200
    user = guarded.token("cy")
    assert guarded.post("/adapters/refresh", {}, user).status_code == 403
    assert guarded.get("/metrics", user).status_code == 403
    assert guarded.get("/metrics", "m" * 20).status_code == 200


def test_s100_a_token_for_another_service_is_refused(guarded: Desk) -> None:
    from finetune30.access import secret
    from finetune30.access.tokens import Tokens

    user = guarded.access.users.add("dan", Role.USER, "four words in a row")
    other = Tokens(guarded.store.engine, secret.signing_secret(guarded.settings), 30, audience="another-service")
    assert guarded.post("/predict", {"text": "film"}, other.issue(user).token).status_code == 401


def test_g26_a_revoked_token_is_refused_within_a_second(guarded: Desk) -> None:
    user = guarded.access.users.add("eve", Role.USER, "four words in a row")
    token = guarded.access.tokens.issue(user).token
    assert guarded.get("/info", token).status_code == 200
    guarded.access.users.disable(user.id)
    waited(lambda: guarded.get("/info", token).status_code == 401)


def test_s99_too_much_at_once_is_refused_and_goes_on(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    with serving(tmp_path, tiny_model("bert"), {"SERVING_QUEUE": 512}) as desk:
        desk.run()
        assert desk.get("/ready").status_code == 200
        texts = ["film " * 30] * 500
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: desk.post("/predict", {"text": texts}), range(16)))
        assert {one.status_code for one in found} == {200, 429}
        refused = next(one for one in found if one.status_code == 429)
        assert int(refused.headers["retry-after"]) >= 1
        assert desk.post("/predict", {"text": "film"}).status_code == 200


def test_s99_a_client_that_leaves_frees_its_place(desk: Desk) -> None:
    lane = desk.service.following.host.lane
    live = desk.service.following.live(None)
    gate = threading.Event()

    class Stuck:
        mixes = True

        def logits(self, rows: Any) -> Any:
            gate.wait()
            return [np.ones(2)] * len(rows)

    from finetune30.modeling.shared import Row

    blocked = lane.ask(Stuck(), [Row(np.zeros(3, np.int32), None, live.adapter)])
    body = json.dumps({"text": ["film"] * 400}).encode()
    with socket.create_connection(("127.0.0.1", desk.port)) as client:
        head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        waited(lambda: lane.waiting >= 400)
    waited(lambda: lane.waiting < 400)  # 400 texts of one adapter are worth a merged copy: its trial's rows may wait
    assert lane.waiting < 20
    gate.set()
    blocked.result(30)


def test_s46_large_bodies_are_refused_before_they_are_read(guarded: Desk) -> None:
    assert guarded.client.post("/predict", content=b"x" * ((1 << 20) + 1)).status_code == 413


def test_s102_other_hosts_are_refused(desk: Desk) -> None:
    assert desk.client.post("/predict", json={"text": "a"}, headers={"Host": "evil.tld"}).status_code == 400


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_s103_other_contents_are_refused(desk: Desk, content_type: str) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    assert desk.client.post("/predict", content=b'{"text": "a"}', headers=headers).status_code == 415


def test_health_is_a_forward_pass_and_says_when_none_comes_back(
    tiny_model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune30.serving import probing

    monkeypatch.setattr(probing, "_HEALTHY_S", 0.5)
    with serving(tmp_path, tiny_model("bert"), {}) as desk:
        assert desk.get("/health").json() == {"status": "ok", "adapter": None}
        assert desk.get("/ready").status_code == 503
        desk.run()
        assert desk.get("/ready").status_code == 200
        rows = desk.service.following.host.lane.figures.rows
        assert desk.get("/health").status_code == 200
        assert desk.service.following.host.lane.figures.rows == rows + 1
        gate = threading.Event()

        class Stuck:
            mixes = True

            def logits(self, rows: Any) -> Any:
                gate.wait()
                return [np.ones(2)] * len(rows)

        from finetune30.modeling.shared import Row

        row = Row(np.zeros(3, np.int32), None, desk.service.following.live(None).adapter)
        desk.service.following.host.lane.ask(Stuck(), [row])
        stuck = waited(lambda: (found := desk.get("/health")).status_code == 503 and found)
        gate.set()
        assert stuck.status_code == 503
        assert "retry-after" in stuck.headers


def test_the_newest_run_is_followed_and_a_bad_one_is_not(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    with serving(tmp_path, tiny_model("bert"), {}) as desk:
        first = desk.run(seed=1)
        assert desk.post("/predict", {"text": "film"}).json()["adapter"]["id"] == first
        second = desk.run(seed=2)
        waited(lambda: desk.post("/predict", {"text": "film"}).json()["adapter"]["id"] == second)
        bad = desk.run(seed=3)
        (desk.folder(bad) / "adapter_model.safetensors").write_bytes(b"nothing")
        desk.post("/adapters/refresh", {})
        refused = waited(lambda: desk.get("/adapters").json()["refused"])
        # What it has seen before the file was broken it may have switched to.
        if refused[0]["experiment_id"] == bad:
            assert desk.post("/predict", {"text": "film"}).json()["adapter"]["id"] in (second, bad)


def test_g22_g24_a_promotion_under_load_loses_no_request(desk: Desk) -> None:
    """Each answer is that of the run it names, while the alias goes to and fro."""
    runs = [desk.run(seed=31), desk.run(seed=32)]
    desk.alias("swap", "champion", runs[0])
    desk.alias("swap", "other", runs[1])
    expected = {run: alone(desk.folder(run), desk.model, TEXTS) for run in runs}
    ending = threading.Event()

    def promote() -> None:
        number = 0
        while not ending.wait(0.05):
            number += 1
            desk.models.point("swap", "champion", 1 + number % 2, Actor("ana"))
            desk.post("/adapters/refresh", {})

    def ask(number: int) -> str:
        at = number % len(TEXTS)
        answer = desk.post("/predict", {"text": TEXTS[at], "adapter": "swap@champion"})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found["probability"] == pytest.approx(expected[found["adapter"]["id"]][at].max(), abs=1e-4)
        return str(found["adapter"]["id"])

    promoter = threading.Thread(target=promote)
    promoter.start()
    try:
        with ThreadPoolExecutor(16) as pool:
            seen = set(pool.map(ask, range(300)))
    finally:
        ending.set()
        promoter.join()
    assert seen == set(runs)


def test_metrics_have_the_names_of_text_embeddings_inference(desk: Desk) -> None:
    desk.post("/predict", {"text": "film"})
    told = desk.get("/metrics").text
    for name in (
        "te_request_count",
        "te_request_success",
        "te_request_duration",
        "te_queue_size",
        "te_batch_next_size",
    ):
        assert name in told


def test_info_tells_what_answers(desk: Desk) -> None:
    desk.get("/ready")  # the default adapter is loaded
    info = desk.get("/info").json()
    assert info["device"] == "cpu"
    assert info["model_id"] == desk.model.name
    assert info["model_type"]["classifier"]["id2label"]


def test_text_of_another_language_is_noticed(tmp_path: Path) -> None:
    with serving(tmp_path, Path("builtin:minilm"), {}) as desk:
        desk.run()
        found = desk.post(
            "/predict", {"text": ["This movie was great, I liked it.", "這部電影真的非常好看，推薦給大家"]}
        )
        english, chinese = found.json()["predictions"]
        assert english["language"] == "English"
        assert "warning" not in english
        assert "Chinese" in chinese["warning"]


def test_requests_end_when_the_service_does(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    with serving(tmp_path, tiny_model("bert"), {}) as desk:
        desk.run()
        assert desk.get("/ready").status_code == 200
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(httpx.post, f"{desk.url}/predict", json={"text": TEXTS}) for _ in range(8)]
            assert all(one.result().status_code == 200 for one in asked)
