"""What owners write on experiments: kept with the row, found by it, gone with it; the same on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from finetune30 import database
from finetune30.config import ExperimentConfig
from finetune30.errors import IdempotencyConflict
from finetune30.experiments import ExperimentStore, Queue, Wish
from finetune30.experiments.metadata import metadata_of
from finetune30.experiments.tables import notes


@pytest.fixture
def queue(store: ExperimentStore) -> Queue:
    return Queue(store.engine, store.lease_s, 3)


def submit(queue: Queue, **wish: object) -> str:
    return queue.submit(ExperimentConfig(), "ana", tz="UTC", wish=Wish(**wish))[0].id  # type: ignore[arg-type]


def test_what_is_written_is_read_again_and_found(store: ExperimentStore, queue: Queue) -> None:
    odd = {'a."b"\'[0]': "%_\\", "名": "值" * 512}
    one, two, bare = submit(queue, metadata=odd), submit(queue, metadata={"k": "v"}), submit(queue)

    assert metadata_of(store.engine, [one, two, bare]) == {one: odd, two: {"k": "v"}}
    for metadata, found in ((odd, [one]), ({"k": "v"}, [two]), ({"k": "%"}, []), ({"k": "v", "l": "v"}, [])):
        assert [row.id for row in store.find(metadata=metadata)] == found
    assert len(store.find(metadata={})) == 3
    assert [row.id for row in store.find(bare=True)] == [bare]
    assert store.count(metadata={"k": "v"}) == 1


def test_it_goes_with_its_row(store: ExperimentStore, queue: Queue) -> None:
    one = submit(queue, metadata={"k": "v"})
    store.cancel(one)

    store.delete(one)

    with database.read(store.engine) as connection:
        assert connection.execute(select(func.count()).select_from(notes)).scalar_one() == 0


def test_a_key_stands_for_what_is_written_too(queue: Queue) -> None:
    one = submit(queue, idempotency_key="once", metadata={"k": "v"})

    assert submit(queue, idempotency_key="once", metadata={"k": "v"}) == one
    with pytest.raises(IdempotencyConflict):
        submit(queue, idempotency_key="once", metadata={"k": "w"})
    with pytest.raises(IdempotencyConflict):
        submit(queue, idempotency_key="once")
