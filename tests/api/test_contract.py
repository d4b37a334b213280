"""Schemathesis, short: every route, all checks and phases, as everybody (G30); ``contract`` has the long form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.api.contract import run, short
from tests.api.contract_table import EXPLAINED
from tests.api.service import Service

RUNS = [("anonymous", "sqlite"), ("user", "sqlite"), ("admin", "postgresql")]


@pytest.mark.parametrize(("role", "database"), RUNS)
def test_g30_schemathesis_finds_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, role: str, database: str
) -> None:
    values = {}
    if database == "postgresql":
        values["DATABASE_URL"] = request.getfixturevalue("postgres_server").database("contract")

    code, report = run(tmp_path, role, 3, values)

    assert code == 0, short(report)
    assert "Stateful" in report


def test_g30_each_refusal_that_is_passed_over_has_its_reason() -> None:
    for one in EXPLAINED:
        assert len(one.reason) > 10
        assert one.words or one.code == "too_large"


def operations(service: Service) -> list[tuple[str, dict[str, Any]]]:
    paths = service.client.get("/openapi.json").json()["paths"]
    return [(f"{method.upper()} {path}", one) for path, ways in paths.items() for method, one in ways.items()]


def test_openapi_has_an_example_for_each_endpoint(service: Service) -> None:
    without = []
    for label, one in operations(service):
        bodies = one.get("requestBody", {}).get("content", {})
        answers = [part for answer in one["responses"].values() for part in answer.get("content", {}).values()]
        if any("example" not in part and "examples" not in part for part in bodies.values()):
            without.append(f"{label}: its body")
        good = [answer for status, answer in one["responses"].items() if status.startswith("2")]
        shown = [part for answer in good for part in answer.get("content", {}).values()]
        if shown and not any("example" in part or "examples" in part for part in shown):
            without.append(f"{label}: its answer")
        assert answers, label
    assert without == []


def test_the_examples_of_answers_are_what_their_schemas_say(service: Service) -> None:
    import jsonschema

    document = service.client.get("/openapi.json").json()
    looked = 0
    for label, one in operations(service):
        for status, answer in one["responses"].items():
            for media in answer.get("content", {}).values():
                if status.startswith("2") and "example" in media:
                    schema = {**media.get("schema", {}), "components": document["components"]}
                    jsonschema.validate(media["example"], schema)
                    looked += 1
            assert looked, label


def test_openapi_describes_every_endpoint(service: Service) -> None:
    for label, one in operations(service):
        assert one["summary"], label
        assert one["description"], label
