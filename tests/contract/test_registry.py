"""The registry keeps its promises on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, delete, text, update

from finetune30 import database
from finetune30.config import ExperimentConfig
from finetune30.errors import BadInput, Finetune30Error, Forbidden, NotFound, StateError, StorageError
from finetune30.experiments import ExperimentFolder, ExperimentStore, Status
from finetune30.registry import Actor, Kind, Models, Visibility
from finetune30.registry.tables import alias_history
from tests.contract.conftest import LEASE_S
from tests.registered import CARD, HASH, leave_model, trained

ANA, BEN, ADMIN = Actor("ana"), Actor("ben"), Actor("root", everything=True)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def runs(engine: Engine) -> ExperimentStore:
    return ExperimentStore(engine, LEASE_S)


@pytest.fixture
def registry(engine: Engine, results: Path) -> Models:
    return Models(engine, results)


@pytest.fixture
def add(registry: Models, runs: ExperimentStore, results: Path) -> Callable[..., int]:
    """Train and register the next version of ``spam``; its number."""

    def made(name: str = "spam", by: Actor = ANA, **more: object) -> int:
        candidate = registry.candidate(trained(runs, results, owner=by.name), by)
        return registry.register(name, candidate, by, **more).number  # type: ignore[arg-type]

    return made


# Registering -------------------------------------------------------------------------------------


def test_a_successful_experiment_becomes_version_1_with_the_hash_of_its_files(
    registry: Models, runs: ExperimentStore, results: Path
) -> None:
    run = trained(runs, results)

    made = registry.register("spam", registry.candidate(run, ANA), ANA, note="first", description="Is it spam?")

    assert (made.address, made.experiment_id, made.registered_by, made.note) == ("spam/1", run, "ana", "first")
    assert (made.dataset_hash, made.eval_accuracy, made.base_model) == (HASH, 0.9, "builtin:minilm")
    model = registry.show("spam")
    assert (model.owner, model.visibility, model.description) == ("ana", Visibility.PRIVATE, "Is it spam?")
    assert (model.versions, model.latest, dict(model.aliases)) == (1, 1, {})
    found = registry.resolve("spam/1")
    assert found.sha256 == made.sha256 == registry.resolve(run).sha256
    assert found.fault() is None


def test_numbers_go_up_and_are_never_given_twice(registry: Models, add: Callable[..., int]) -> None:
    assert [add(), add(), add()] == [1, 2, 3]

    registry.unregister("spam", 3, ANA)

    assert add() == 4
    assert [one.number for one in registry.versions("spam")] == [4, 2, 1]


def test_an_experiment_is_one_version_of_a_model_and_may_be_one_of_another(
    registry: Models, runs: ExperimentStore, results: Path
) -> None:
    candidate = registry.candidate(trained(runs, results), ANA)
    registry.register("spam", candidate, ANA)

    with pytest.raises(StateError, match="is spam/1 already"):
        registry.register("spam", candidate, ANA)
    registry.register("junk", candidate, ANA)

    assert [one.name for one in registry.list(experiment_id=candidate.experiment_id)] == ["junk", "spam"]
    assert [one.name for one in registry.list(dataset_hash=HASH)] == ["junk", "spam"]
    assert registry.list(dataset_hash="cd" * 32) == []


def test_only_what_has_succeeded_can_be_registered(registry: Models, runs: ExperimentStore) -> None:
    waiting = runs.create(ExperimentConfig(), owner="ana", tz="UTC").id

    with pytest.raises(StateError, match="is PENDING, only a successful run has a model"):
        registry.candidate(waiting, ANA)
    runs.cancel(waiting)
    with pytest.raises(StateError, match="is REVOKED"):
        registry.candidate(waiting, ANA)
    with pytest.raises(NotFound):
        registry.candidate("nobody_20260101_000000", ANA)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"short"), "has 5 bytes, the manifest says"),
        (lambda folder: _flip(folder / "adapter_model.safetensors"), r"has changed \(sha256 differs\)"),
        (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
        (lambda folder: (folder / "README.md").unlink(), "README.md is missing"),
        (lambda folder: (folder / "pytorch_model.bin").write_bytes(b"x"), "pytorch_model.bin is not in the manifest"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "manifest.json cannot be read"),
        (
            lambda folder: (folder / "manifest.json").write_text('{"files": {"a": {"bytes": 1, "sha256": "../x"}}}'),
            "read",
        ),
        (lambda folder: (folder / "manifest.json").write_text('{"files": {}}'), "adapter_config.json is missing"),
        (lambda folder: folder.rename(folder.with_name("elsewhere")), "final_model is missing"),
    ],
)
def test_a_damaged_model_is_refused_by_the_name_of_the_file(
    registry: Models, runs: ExperimentStore, results: Path, damage: Callable[[Path], object], told: str
) -> None:
    run = trained(runs, results)
    damage(ExperimentFolder(results, run).final_model)

    with pytest.raises(StateError, match=told):
        registry.candidate(run, ANA)


def test_a_link_in_place_of_a_file_is_refused(registry: Models, runs: ExperimentStore, results: Path) -> None:
    run = trained(runs, results)
    weights = ExperimentFolder(results, run).final_model / "adapter_model.safetensors"
    weights.rename(results / "weights")
    weights.symlink_to(results / "weights")

    with pytest.raises(StateError, match=r"adapter_model\.safetensors is missing"):
        registry.candidate(run, ANA)


def test_a_run_from_before_there_were_manifests_is_registered_as_it_is_now(
    registry: Models, runs: ExperimentStore, results: Path
) -> None:
    run = trained(runs, results)
    (ExperimentFolder(results, run).final_model / "manifest.json").unlink()

    registry.register("spam", registry.candidate(run, ANA), ANA)

    assert registry.resolve("spam/1").fault() is None
    _flip(ExperimentFolder(results, run).final_model / "adapter_model.safetensors")
    assert registry.resolve("spam/1").fault() == "adapter_model.safetensors has changed (sha256 differs)"


def test_a_manifest_that_was_written_anew_does_not_fool_who_resolves(
    registry: Models, runs: ExperimentStore, results: Path, add: Callable[..., int]
) -> None:
    add()
    folder = registry.resolve("spam/1").folder
    before = registry.resolve("spam/1").sha256
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    leave_model(folder, "something else")

    found = registry.resolve("spam/1")

    assert found.sha256 == before
    assert "adapter_model.safetensors" in (found.fault() or "")


def test_an_experiment_that_is_deleted_between_look_and_register_is_not_found(
    registry: Models, runs: ExperimentStore, results: Path
) -> None:
    candidate = registry.candidate(trained(runs, results), ANA)
    runs.delete(candidate.experiment_id)

    with pytest.raises(NotFound, match="deleted meanwhile"):
        registry.register("spam", candidate, ANA)

    assert registry.list() == []


# Whose -------------------------------------------------------------------------------------------


def test_a_private_model_is_its_owners_and_a_team_model_is_read_by_all(
    registry: Models, add: Callable[..., int]
) -> None:
    add("spam", alias="champion")
    add("topic", visibility=Visibility.TEAM)

    looks: list[Callable[[Actor], object]] = [
        lambda by: registry.show("spam", by),
        lambda by: registry.versions("spam", by),
        lambda by: registry.version("spam", 1, by),
        lambda by: registry.alias("spam", "champion", by),
        lambda by: registry.history("spam", None, by),
        lambda by: registry.card("spam", 1, by),
        lambda by: registry.lineage("spam", 1, by),
        lambda by: registry.resolve("spam@champion", by),
    ]
    for look in looks:
        with pytest.raises(Forbidden):
            look(BEN)
        look(ANA)
        look(ADMIN)
    assert [one.name for one in registry.list(BEN)] == ["topic"]
    assert [one.name for one in registry.list(ANA)] == [one.name for one in registry.list(ADMIN)] == ["spam", "topic"]
    assert registry.show("topic", BEN).latest == 1
    assert registry.resolve("topic/1", BEN).owner == "ana"


def test_what_others_own_is_changed_by_admins_alone(
    registry: Models, runs: ExperimentStore, results: Path, add: Callable[..., int]
) -> None:
    add("spam", alias="champion", visibility=Visibility.TEAM)
    bens = registry.candidate(trained(runs, results, owner="ben"), BEN)
    before = registry.changes()

    deeds: list[Callable[[Actor], object]] = [
        lambda by: registry.register("spam", bens, by),
        lambda by: registry.edit("spam", by, description="mine"),
        lambda by: registry.point("spam", "champion", 1, by),
        lambda by: registry.rollback("spam", "champion", by),
        lambda by: registry.drop("spam", "champion", by),
        lambda by: registry.unregister("spam", 1, by),
        lambda by: registry.delete("spam", by, force=True),
    ]
    for deed in deeds:
        with pytest.raises(Forbidden):
            deed(BEN)
    assert registry.changes() == before
    registry.edit("spam", ADMIN, description="looked at")
    assert registry.show("spam").description == "looked at"
    assert registry.show("spam").owner == "ana"


def test_nobody_registers_or_resolves_another_users_run(registry: Models, runs: ExperimentStore, results: Path) -> None:
    run = trained(runs, results, owner="ana")

    with pytest.raises(Forbidden):
        registry.candidate(run, BEN)
    with pytest.raises(Forbidden):
        registry.resolve(run, BEN)

    assert registry.candidate(run, ADMIN).experiment_id == run


# Aliases -----------------------------------------------------------------------------------------


def test_an_alias_moves_and_each_move_is_a_line_of_history(registry: Models, add: Callable[..., int]) -> None:
    add(), add()

    first = registry.point("spam", "champion", 1, ANA, note="baseline")
    second = registry.point("spam", "champion", 2, ADMIN, note="better F1")

    assert (first.number, first.previous, second.number, second.previous) == (1, None, 2, 1)
    assert registry.resolve("spam@champion").version == 2
    assert registry.version("spam", 2).aliases == ("champion",)
    lines = [
        (one.kind, one.from_number, one.to_number, one.moved_by, one.note)
        for one in registry.history("spam", "champion")
    ]
    assert lines == [
        (Kind.POINT, 1, 2, "root", "better F1"),
        (Kind.POINT, None, 1, "ana", "baseline"),
    ]


def test_a_move_to_where_it_is_adds_no_line(registry: Models, add: Callable[..., int]) -> None:
    add(alias="champion")

    registry.point("spam", "champion", 1, ANA)

    assert len(registry.history("spam", "champion")) == 1


def test_rolling_back_goes_ever_further_back_and_then_says_so(registry: Models, add: Callable[..., int]) -> None:
    for _ in range(3):
        add(alias="champion")

    assert [registry.rollback("spam", "champion", ANA).number for _ in range(2)] == [2, 1]
    with pytest.raises(StateError, match="has been at no other version that still exists"):
        registry.rollback("spam", "champion", ANA)

    registry.point("spam", "champion", 3, ANA)
    assert registry.rollback("spam", "champion", ANA).number == 1
    assert {one.kind for one in registry.history("spam", "champion")} == {Kind.POINT, Kind.ROLLBACK}


def test_rolling_back_passes_over_versions_that_are_gone(registry: Models, add: Callable[..., int]) -> None:
    for _ in range(3):
        add(alias="champion")
    registry.unregister("spam", 2, ANA)

    back = registry.rollback("spam", "champion", ANA)

    assert (back.number, back.previous) == (1, None)


def test_an_alias_that_was_dropped_by_mistake_comes_back(registry: Models, add: Callable[..., int]) -> None:
    add(alias="champion"), add(alias="champion")
    registry.drop("spam", "champion", ANA, note="oh")
    with pytest.raises(NotFound):
        registry.resolve("spam@champion")

    assert registry.rollback("spam", "champion", ANA).number == 2
    assert registry.rollback("spam", "champion", ANA).number == 1


def test_who_expected_another_place_is_refused(registry: Models, add: Callable[..., int]) -> None:
    add(), add()
    registry.point("spam", "champion", 1, ANA, expected=0)

    for wrong in (0, 2):
        with pytest.raises(StateError, match="points at version 1, expected"):
            registry.point("spam", "champion", 2, ANA, expected=wrong)
        with pytest.raises(StateError):
            registry.rollback("spam", "champion", ANA, expected=wrong)
        with pytest.raises(StateError):
            registry.drop("spam", "champion", ANA, expected=wrong)
    with pytest.raises(StateError, match="is not set, expected version 1"):
        registry.point("spam", "other", 2, ANA, expected=1)
    assert registry.point("spam", "champion", 2, ANA, expected=1).number == 2


def test_of_many_who_expected_the_same_place_one_wins(
    registry: Models, add: Callable[..., int], engine: Engine
) -> None:
    for _ in range(8):
        add()
    registry.point("spam", "champion", 8, ANA)
    start, won, lost = threading.Barrier(7), [], []

    def move(number: int) -> None:
        start.wait()
        try:
            won.append(registry.point("spam", "champion", number, ANA, expected=8).number)
        except StateError as refused:
            lost.append(refused)

    threads = [threading.Thread(target=move, args=(number,)) for number in range(1, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(won), len(lost)) == (1, 6)
    assert dict(registry.show("spam").aliases) == {"champion": won[0]}
    assert [(one.from_number, one.to_number) for one in registry.history("spam", limit=1)] == [(8, won[0])]


def test_of_many_who_register_at_once_each_gets_a_number_of_its_own(
    registry: Models, runs: ExperimentStore, results: Path
) -> None:
    candidates = [registry.candidate(trained(runs, results), ANA) for _ in range(6)]
    start, numbers = threading.Barrier(6), []

    def register(index: int) -> None:
        start.wait()
        numbers.append(registry.register("spam", candidates[index], ANA, alias="champion").number)

    threads = [threading.Thread(target=register, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]
    moves = [(one.from_number, one.to_number) for one in reversed(registry.history("spam"))]
    assert [was for was, _ in moves] == [None, *(to for _, to in moves[:-1])]  # each from where the last one went


def test_stages_of_other_registries_are_aliases_in_lower_case(registry: Models, add: Callable[..., int]) -> None:
    add()

    assert registry.point("spam", "Production", 1, ANA).alias == "production"
    assert registry.resolve("models:/spam/Production").alias == "production"


def test_an_alias_points_at_no_version_that_is_not_there(registry: Models, add: Callable[..., int]) -> None:
    add()

    with pytest.raises(NotFound, match="no version 7 of spam"):
        registry.point("spam", "champion", 7, ANA)
    with pytest.raises(NotFound, match="no alias 'champion'"):
        registry.drop("spam", "champion", ANA)
    with pytest.raises(NotFound, match="no alias 'champion'"):
        registry.rollback("spam", "champion", ANA)


def test_the_history_is_never_changed(registry: Models, add: Callable[..., int], engine: Engine) -> None:
    add(alias="champion")

    for change in (update(alias_history).values(note="other"), delete(alias_history)):
        with pytest.raises(StorageError, match="never changed or deleted"), database.write(engine) as connection:
            connection.execute(change)
    if engine.dialect.name == "sqlite":
        replaced = text("REPLACE INTO alias_history SELECT * FROM alias_history")
        with pytest.raises(StorageError, match="never changed or deleted"), database.write(engine) as connection:
            connection.execute(replaced)


# Going -------------------------------------------------------------------------------------------


def test_a_version_stays_while_an_alias_points_at_it(registry: Models, add: Callable[..., int], engine: Engine) -> None:
    add(alias="champion")

    with pytest.raises(StateError, match="spam/1 is what champion points at"):
        registry.unregister("spam", 1, ANA)
    with pytest.raises(StateError, match="spam is what champion points at"):
        registry.delete("spam", ANA)
    with pytest.raises(StorageError), database.write(engine) as connection:  # and the database says so, too
        connection.execute(text("DELETE FROM model_versions"))

    registry.drop("spam", "champion", ANA)
    registry.unregister("spam", 1, ANA)
    assert registry.versions("spam") == []


def test_a_registered_experiment_cannot_be_deleted_whatever_way(
    registry: Models, runs: ExperimentStore, add: Callable[..., int]
) -> None:
    add()
    run = registry.version("spam", 1).experiment_id

    with pytest.raises(StateError, match=f"{run} is registered as spam/1"):
        registry.refuse_registered(run)
    with pytest.raises(StateError, match=f"{run} is registered as a model"):
        runs.delete(run)
    assert runs.get(run).status is Status.SUCCESS

    registry.unregister("spam", 1, ANA)
    registry.refuse_registered(run)
    runs.delete(run)


def test_a_deleted_model_leaves_its_experiments_and_its_history(
    registry: Models, runs: ExperimentStore, add: Callable[..., int], engine: Engine
) -> None:
    add(alias="champion"), add()
    run = registry.version("spam", 1).experiment_id

    registry.delete("spam", ANA, force=True)

    assert registry.list() == []
    assert runs.get(run).status is Status.SUCCESS
    with database.read(engine) as connection:
        rows = connection.execute(text("SELECT model, kind, to_number, note FROM alias_history ORDER BY seq")).all()
    assert [tuple(row) for row in rows] == [
        ("spam", "point", 1, ""),
        ("spam", "drop", None, "the model was deleted"),
    ]
    add()  # the name again, as another model: nothing of the old one is its
    assert (registry.show("spam").latest, registry.history("spam")) == (1, [])
    with pytest.raises(NotFound):
        registry.rollback("spam", "champion", ANA)


# Finding -----------------------------------------------------------------------------------------


def test_every_form_of_an_address_means_the_same(registry: Models, add: Callable[..., int]) -> None:
    add(), add(alias="champion")
    run = registry.version("spam", 2).experiment_id

    forms = ["spam@champion", "spam/2", "models:/spam@champion", "models:/spam/2", "spam@latest", "spam/latest", run]

    found = [registry.resolve(form) for form in forms]
    assert {one.experiment_id for one in found} == {run}
    assert {one.folder for one in found} == {found[0].folder}
    assert [one.alias for one in found] == ["champion", None, "champion", None, "latest", "latest", None]
    assert (found[0].label_names, found[0].base_model, found[0].model) == (("bad", "good"), "builtin:minilm", "spam")
    assert (found[-1].model, found[-1].version, found[-1].owner) == (None, None, "ana")
    assert json.dumps(found[0].to_dict())
    assert "folder" not in found[0].to_dict()


@pytest.mark.parametrize("address", ["spam@champion", "spam/9", "eggs/1", "spam@latest", "nobody_20260101_000000"])
def test_what_is_not_there_is_not_found(registry: Models, add: Callable[..., int], address: str) -> None:
    add()
    registry.unregister("spam", 1, ANA)

    with pytest.raises(NotFound):
        registry.resolve(address)


def test_names_that_look_alike_are_suggested(registry: Models, add: Callable[..., int]) -> None:
    add(alias="champion")

    with pytest.raises(NotFound, match="did you mean spam"):
        registry.show("spma")
    with pytest.raises(NotFound, match="did you mean spam@champion"):
        registry.resolve("spam@champoin")


def test_a_version_whose_files_are_gone_says_so(registry: Models, add: Callable[..., int]) -> None:
    add()
    folder = registry.resolve("spam/1").folder
    folder.rename(folder.with_name("elsewhere"))

    with pytest.raises(StateError, match="not whole"):
        registry.resolve("spam/1")
    with pytest.raises(StateError, match="not whole"):
        registry.card("spam", 1)


def test_card_and_lineage_lead_from_the_model_to_run_and_data_and_back(
    registry: Models, add: Callable[..., int]
) -> None:
    add(alias="champion"), add("other"), add("bens", by=BEN)

    lineage = registry.lineage("spam", 1, ANA)

    assert registry.card("spam", 1) == CARD
    assert lineage["model"]["aliases"] == ["champion"]
    assert lineage["experiment"]["id"] == registry.version("spam", 1).experiment_id
    assert lineage["data"] == {"name": "builtin:reviews", "version": HASH, "also_trained": ["other/1"]}
    assert lineage["base"] == {"name": "builtin:minilm", "revision": None}
    assert registry.lineage("spam", 1)["data"]["also_trained"] == ["bens/1", "other/1"]


def test_lists_come_in_pages(registry: Models, add: Callable[..., int]) -> None:
    for name in ("c", "a", "b_x", "bax"):
        add(name)
    add("a"), add("a")
    registry.point("a", "x", 1, ANA), registry.point("a", "x", 2, ANA), registry.point("a", "y", 2, ANA)

    assert [one.name for one in registry.list(limit=2)] == ["a", "b_x"]
    assert [one.name for one in registry.list(after="b_x")] == ["bax", "c"]
    assert [one.name for one in registry.list(name="B_")] == ["b_x"]
    assert registry.list(owner="ben") == []
    assert [one.number for one in registry.versions("a", before=3, limit=1)] == [2]
    first, *_ = registry.history("a", limit=1)
    assert (first.alias, [one.to_number for one in registry.history("a", before=first.seq)]) == ("y", [2, 1])


def test_every_change_is_counted_and_no_look_is(
    registry: Models, runs: ExperimentStore, results: Path, add: Callable[..., int]
) -> None:
    seen = [registry.changes()]

    def changed() -> bool:
        seen.append(registry.changes())
        return seen[-1] > seen[-2]

    add(), add()
    assert changed()
    registry.point("spam", "champion", 1, ANA)
    assert changed()
    registry.point("spam", "champion", 2, ANA)
    assert changed()
    registry.rollback("spam", "champion", ANA)
    assert changed()
    registry.edit("spam", ANA, visibility=Visibility.TEAM)
    assert changed()
    registry.unregister("spam", 2, ANA)
    assert changed()
    registry.drop("spam", "champion", ANA)
    assert changed()
    registry.resolve("spam/1"), registry.list(), registry.history("spam"), registry.lineage("spam", 1)
    with pytest.raises(Finetune30Error):
        registry.point("spam", "champion", 9, ANA)
    assert not changed()
    registry.delete("spam", ANA)
    assert changed()


def test_a_change_within_a_transaction_is_taken_back_with_it(
    registry: Models, runs: ExperimentStore, results: Path, engine: Engine
) -> None:
    candidate = registry.candidate(trained(runs, results), ANA)
    before = registry.changes()

    def register_then_fail() -> None:
        with database.write(engine):
            registry.register("spam", candidate, ANA, alias="champion")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        register_then_fail()

    assert (registry.list(), registry.changes()) == ([], before)


def test_a_registry_whose_head_is_missing_still_works(
    registry: Models, add: Callable[..., int], engine: Engine
) -> None:
    with database.write(engine) as connection:
        connection.execute(text("DELETE FROM registry_head"))
    assert registry.changes() == 0

    add()

    assert registry.changes() == 1


@pytest.mark.parametrize("field", ["note", "description"])
def test_texts_have_an_end_and_hold_no_nul(registry: Models, runs: ExperimentStore, results: Path, field: str) -> None:
    candidate = registry.candidate(trained(runs, results), ANA)

    with pytest.raises(BadInput, match="expected at most 2000"):
        registry.register("spam", candidate, ANA, **{field: "x" * 2001})  # type: ignore[arg-type]
    registry.register("spam", candidate, ANA, **{field: "a\0b"})  # type: ignore[arg-type]

    said = {"note": registry.version("spam", 1).note, "description": registry.show("spam").description}
    assert said[field] == "a\ufffdb"


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


# Following many addresses ------------------------------------------------------------------------


def test_a_mark_changes_with_what_an_address_means_and_with_nothing_else(
    registry: Models, runs: ExperimentStore, add: Callable[..., int]
) -> None:
    add(alias="champion")
    add()
    add("other", alias="champion")
    run = registry.version("spam", 1).experiment_id
    asked = ["spam@champion", "models:/spam/1", "spam@latest", run, "other@champion"]

    def moved(change: Callable[[], object]) -> set[str]:
        before = registry.marks(asked)
        change()
        return {one for one, was, now in zip(asked, before, registry.marks(asked), strict=True) if was != now}

    assert None not in registry.marks(asked)
    assert moved(lambda: None) == set()
    assert moved(lambda: registry.point("other", "staging", 1, ANA)) == set()
    assert moved(lambda: registry.point("spam", "champion", 2, ANA)) == {"spam@champion"}
    everything = {"spam@champion", "models:/spam/1", "spam@latest"}
    assert moved(lambda: registry.edit("spam", ANA, visibility=Visibility.TEAM)) == everything
    assert moved(lambda: add()) >= {"spam@latest"}
    assert moved(lambda: registry.unregister("spam", 1, ANA)) >= {"models:/spam/1"}
    assert moved(lambda: runs.delete(run)) == {run}
    assert registry.marks([run]) == [None]
    assert moved(lambda: (registry.delete("other", ANA, force=True), add("other", alias="champion"))) == {
        "other@champion"
    }


def test_marks_of_more_addresses_than_one_query_takes(registry: Models, add: Callable[..., int]) -> None:
    add(alias="champion")
    unknown = [f"nobody-{number}@champion" for number in range(1_200)]

    found = registry.marks([*unknown, "spam@champion", "spam@champion", "no-run"])

    assert found[:1_200] == [None] * 1_200
    assert found[1_200] == found[1_201] is not None
    assert found[1_202] is None
    with pytest.raises(BadInput):
        registry.marks(["no address"])
