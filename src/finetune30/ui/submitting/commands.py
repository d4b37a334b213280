"""The same training by other doors: as a file, at the command line, with curl.

Neighbours: ``pages.submit`` shows them; ``docs/client.md`` and ``docs/api.md`` explain them.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import Any
from urllib.parse import urlencode

from finetune30.ui.submitting.draft import Wish


def file_name(experiment_name: Any, ending: str) -> str:
    """A name for the file, without what a shell or a file system minds."""
    stem = re.sub(r"[^\w.-]+", "-", str(experiment_name)).strip("-.")
    return f"{stem[:60] or 'training'}.{ending}"


def command(verb: str, file: str, wish: Wish) -> str:
    """``finetune30 train`` (on the machine where it is typed) or ``submit`` (to this server)."""
    words = ["finetune30", verb, file]
    if verb == "submit":
        words += ["--queue", wish.queue] if wish.queue else []
        words += ["--priority", str(wish.priority)] if wish.priority else []
        words += ["--max-runtime", f"{wish.max_runtime_s:g}"] if wish.max_runtime_s else []
        words += ["--watch"]
    return shlex.join(words)


def curl(config: dict[str, Any], wish: Wish, key: str) -> str:
    """For a shell with ``$API`` and ``$TOKEN``."""
    query = {name: value for name, value in vars(wish).items() if value}
    body = json.dumps(config, ensure_ascii=False, indent=1)
    return (
        f'curl -f "$API/train{"?" + urlencode(query) if query else ""}" -H "Authorization: Bearer $TOKEN" \\\n'
        f"  -H 'Content-Type: application/json' -H 'Idempotency-Key: {key}' \\\n"
        f"  -d {shlex.quote(body)}"
    )
