"""Places and GPUs: found without torch, one attempt a GPU, nobody overtakes."""

from __future__ import annotations

import pytest

from finetune30.errors import UsageError
from finetune30.worker.slots import Seat, Slots, find_gpus


def test_hidden_gpus_are_none_and_named_ones_are_kept_in_order() -> None:
    assert find_gpus({"CUDA_VISIBLE_DEVICES": ""}) == ()
    assert find_gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == ()
    assert find_gpus({"CUDA_VISIBLE_DEVICES": "2, GPU-8a,-1,3"}) == ("2", "GPU-8a")


def test_a_gpu_belongs_to_one_attempt_at_a_time() -> None:
    slots = Slots(None, ("0", "1", "2"))
    assert slots.offer == (3, 3)

    two, one = slots.take(2), slots.take(1)

    assert (two.gpus, one.gpus, slots.free) == (("0", "1"), ("2",), 0)
    assert two.environment({"CUDA_VISIBLE_DEVICES": "0,1,2"}) == {"CUDA_VISIBLE_DEVICES": "0,1"}
    slots.give_back(one)
    slots.give_back(two)
    assert slots.take(3).gpus == ("2", "0", "1")


def test_fewer_places_than_gpus_leave_the_others_alone() -> None:
    slots = Slots(1, ("0", "1"))
    assert slots.take(1).gpus == ("0",)
    assert slots.free == 0


@pytest.mark.parametrize(("concurrency", "gpus"), [(3, ("0", "1")), (0, ())])
def test_more_places_than_gpus_or_none_are_refused(concurrency: int, gpus: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="--concurrency is"):
        Slots(concurrency, gpus)


def test_without_gpus_a_job_of_many_processes_takes_all_places_when_all_are_free() -> None:
    slots = Slots(2)
    free, total = slots.offer
    assert free >= 8
    assert total >= 8
    one = slots.take(1)
    assert slots.offer[0] == 1  # a job of two is waited for
    slots.give_back(one)

    all_of_them = slots.take(8)

    assert (all_of_them.places, slots.free) == (2, 0)


def test_cores_are_divided_only_between_attempts_and_only_if_nobody_said_how() -> None:
    assert Slots(1).take(1).environment({}) == {}
    assert int(Slots(2).take(1).environment({})["OMP_NUM_THREADS"]) >= 1
    assert Seat(1, cores=4).environment({"OMP_NUM_THREADS": "2"}) == {}
