"""The service of one machine, where nobody needs a token, and one that wants tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.serving.desk import Desk, serving


@pytest.fixture(scope="module")
def desk(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """On one machine: no token is needed; one run is there."""
    with serving(tmp_path_factory.mktemp("desk"), tiny_model("bert"), {}) as found:
        found.run(seed=3)
        yield found


@pytest.fixture(scope="module")
def guarded(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Beside a platform: tokens are needed."""
    values = {"BROKER_URL": "redis://127.0.0.1:1/0", "METRICS_TOKEN": "m" * 20, "PREDICTIONS_PER_MINUTE": 0}
    with serving(tmp_path_factory.mktemp("guarded"), tiny_model("bert"), values) as found:
        yield found
