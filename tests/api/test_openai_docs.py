"""The Python of ``docs/api.md`` runs as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests import tiny
from tests.api.service import serving
from tests.api.test_openai_files import conversations

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def test_the_program_of_the_page_runs(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "reviews.jsonl").write_bytes(conversations(tiny.rows(64)))
    with serving(tmp_path / "home", {}) as service:
        env = {**os.environ, "API": service.url, "TOKEN": service.person().token}
        words = [sys.executable, "-c", program]
        done = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr[-2000:]
    said = done.stdout.splitlines()
    assert said[:3] == ["info resumed {}", "info paused {}", "info submitted {}"]
    assert said[3].startswith("['ftjob-my-reviews_")
    assert said[4] == "queued []"
    assert "builtin:minilm" in said[5]
