"""Which file of tests begins first: the long ones, so that none of them runs alone at the end.

xdist hands out whole files and would begin with those of many tests, but the longest hold few: one that begins last
keeps the others waiting. The seconds are a guess for a quiet machine with two cores; only their order matters, and a
file that is not named here comes after, the one with more tests first. Neighbours: ``conftest`` asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar


class Named(Protocol):
    """As pytest's items are: the file stands before the first ``::``."""

    @property
    def nodeid(self) -> str: ...


Test = TypeVar("Test", bound=Named)

SECONDS = {
    # A browser against every process of the product.
    "tests/ui/test_e2e_axe.py": 110,
    "tests/ui/test_e2e_story.py": 130,
    "tests/ui/test_e2e_safety.py": 70,
    # Trainings that are killed, resumed or shared by workers: processes that import torch, and waits for leases.
    "tests/jobs/test_history.py": 100,
    "tests/e2e/test_kill.py": 95,
    "tests/api/test_contract.py": 90,
    "tests/jobs/test_guarantees_worker.py": 85,
    "tests/jobs/test_guarantees_outage.py": 75,
    "tests/worker/test_serve.py": 60,
    "tests/unit/test_bench.py": 60,
    "tests/training/test_distributed.py": 60,
    "tests/serving/test_process.py": 55,
    "tests/api/test_processes.py": 50,
    "tests/contract/test_state_machine.py": 50,
    "tests/jobs/test_real_trainings.py": 45,
    "tests/worker/test_supervisor.py": 45,
    "tests/e2e/test_train.py": 40,
    "tests/e2e/test_data.py": 30,
    "tests/e2e/test_several_processes.py": 30,
    "tests/serving/test_following.py": 30,
    "tests/client/test_cli_server.py": 30,
    "tests/jobs/test_up.py": 30,
    "tests/api/test_hardening.py": 30,
    "tests/e2e/test_bad_input.py": 30,
    "tests/serving/test_host.py": 30,
    "tests/jobs/test_servers.py": 25,
    "tests/modeling/test_adapter.py": 25,
    "tests/contract/test_store.py": 25,
    "tests/bench/test_load.py": 25,
    "tests/bench/test_serving.py": 25,
    "tests/ui/test_front.py": 25,
    "tests/ui/test_run_page.py": 25,
    "tests/ui/test_submit.py": 25,
    "tests/ui/test_experiments.py": 25,
    "tests/ui/test_compare.py": 25,
    "tests/api/test_openai_docs.py": 25,
    "tests/training/test_resume.py": 20,
    "tests/e2e/test_several_labels.py": 20,
    "tests/training/test_engine_training.py": 20,
    "tests/training/test_fit.py": 20,
    "tests/api/test_docs.py": 20,
    "tests/api/test_serve.py": 20,
    "tests/jobs/test_submit.py": 20,
    "tests/modeling/test_shared_thirty.py": 12,
    "tests/unit/test_quality_labels.py": 10,
    "tests/modeling/test_shared.py": 10,
}


def longest_first(items: Sequence[Test], seconds: Mapping[str, float] = SECONDS) -> list[Test]:
    """The tests file by file, each file's in their own order."""
    files = [item.nodeid.partition("::")[0] for item in items]
    tests = Counter(files)
    places = sorted(range(len(items)), key=lambda at: (-seconds.get(files[at], 0), -tests[files[at]], files[at]))
    return [items[at] for at in places]
