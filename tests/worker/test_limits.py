"""How many attempts the system lets one worker have."""

from __future__ import annotations

import subprocess
import sys

import pytest

SERVES = """
import resource, sys
from finetune30.errors import UsageError
from finetune30.worker.limits import make_room
from finetune30.worker.slots import Slots
resource.setrlimit(resource.RLIMIT_NOFILE, (128, int(sys.argv[2])))
try:
    make_room(int(sys.argv[1]))
except UsageError as error:
    print(error)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(("concurrency", "hard", "refused"), [(100, 4096, False), (100, 400, True)])
def test_more_attempts_than_files_may_be_open_are_refused(concurrency: int, hard: int, refused: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVES, str(concurrency), str(hard)], capture_output=True, text=True, check=True
    )
    assert ("--concurrency is 100, expected at most" in done.stdout) is refused
    assert done.stdout.splitlines()[-1] == str(hard)
