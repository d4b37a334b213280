"""What the API loads before its first request; by names, for a time would be another one on each machine."""

from __future__ import annotations

import json
import subprocess
import sys

# Heavy, and of no use before somebody asks for what they do: many would be met by the first request of one kind alone.
LATER = {
    *("torch", "transformers", "peft", "datasets", "safetensors", "numpy", "pyarrow", "pandas", "sklearn"),
    *("celery", "kombu", "alembic", "typer", "rich", "cryptography", "jwt", "yaml", "lark", "limits"),
    *("prometheus_client", "psutil", "sqlalchemy.dialects.postgresql"),
}


def test_importing_the_api_loads_nothing_that_can_wait() -> None:
    code = "import json, sys, finetune30.api.app; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert LATER & set(json.loads(done.stdout)) == set()
