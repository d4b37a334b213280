"""Configurations before they are submitted: what one means, what is wrong with it, what may be named here."""

from __future__ import annotations

import yaml

from tests.api.service import Person, Service, refused


def test_a_check_answers_what_train_would_make_and_makes_nothing(service: Service, ana: Person) -> None:
    body = {"experiment_name": "checked", "training": {"warmup_ratio": 0.2}, "lora": {"r": 4}}
    before = service.count()

    checked = ana.post("/config/check", body)

    assert checked.status_code == 200, checked.text
    assert service.count() == before
    task = ana.post("/train", body).json()
    assert checked.json()["config"] == ana.get(f"/task/{task['task_id']}").json()["config"]
    assert yaml.safe_load(checked.json()["text"])["lora"]["r"] == 4
    assert checked.json()["notes"] == ["training.warmup_ratio read as training.warmup_steps"]


def test_a_check_refuses_in_the_words_of_train(ana: Person) -> None:
    for body in (
        {"lora": {"rank": 4}, "model": {"name": "/etc/passwd"}},
        {"training": {"learning_rate": 2}, "data": {"dataset_name": "upload:ds-0123456789abcdef"}},
        {"training": {"eval_steps": 5}},
        {"training": None},
    ):
        told, expected = refused(ana.post("/config/check", body), 422), refused(ana.post("/train", body), 422)
        assert told["errors"] == expected["errors"]
        assert told["code"] == "config_invalid"


def test_choices_name_what_is_taken(service: Service, ana: Person) -> None:
    choices = ana.get("/config/choices").json()

    assert choices["models"][0] == "builtin:minilm"
    assert "builtin:reviews" in choices["datasets"]
    assert choices["queues"] == list(service.settings.queues)
    assert choices["max_runtime_s"] is None
    for model in choices["models"]:
        assert ana.post("/config/check", {"model": {"name": model}}).status_code == 200
    for data in choices["datasets"]:
        assert ana.post("/config/check", {"data": {"dataset_name": data}}).status_code == 200


def test_a_misspelt_name_is_told_the_nearest_that_is_taken(ana: Person) -> None:
    body = {"model": {"name": "builtin:minilmm"}, "data": {"dataset_name": "builtin:reveiws"}}

    told = refused(ana.post("/config/check", body), 422)["errors"]

    said = {one["where"]: one["detail"] for one in told}
    assert said["body.model.name"].endswith("; did you mean builtin:minilm?")
    assert said["body.data.dataset_name"].endswith("; did you mean builtin:reviews?")
    assert "ALLOWLIST" not in str(told)
    assert "reveiws" not in str(told)
    far = refused(ana.post("/config/check", {"data": {"dataset_name": "qqqq"}}), 422)["errors"]
    assert "did you mean" not in str(far)


def test_unknown_keys_wrong_values_and_names_that_are_not_taken_are_told_in_one_go(ana: Person) -> None:
    body = {
        "lora": {"bais": "all", "r": "many"},
        "model": {"name": "/etc/passwd"},
        "data": {"dataset_name": "qqqq", "train_split": "../x", "text_column": 5},
        "training": {"num_nodes": 2},  # without the address where they meet
    }

    for path in ("/config/check", "/train"):
        told = [one["where"] for one in refused(ana.post(path, body), 422, "config_invalid")["errors"]]

        assert sorted(told) == [
            "body.data.dataset_name",
            "body.data.text_column",
            "body.data.train_split",
            "body.lora.bais",
            "body.lora.r",
            "body.model.name",
            "body.training.rdzv_endpoint",
        ]


def test_keys_that_are_wrong_are_told_once_and_those_beside_them_count(ana: Person) -> None:
    told = refused(
        ana.post("/config/check", {"data": {"dataset_name": 7}, "model": {"name": "qqqq"}, "lora": None}), 422
    )

    assert [one["where"] for one in told["errors"]] == ["body.data.dataset_name", "body.lora", "body.model.name"]
