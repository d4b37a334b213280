"""The document in which Streamlit's page lives: its scripts and styles, in a frame of ours.

Streamlit's own says it is in English whatever is shown in it, and has a script inside, for which our policy would have
to allow all such. ``frame.js`` runs before its scripts. Neighbours: ``front`` sends it to who is logged in.
"""

from __future__ import annotations

import html
import re
from functools import cache
from pathlib import Path

from streamlit import file_util

from finetune30.ui.words import words

_PARTS = re.compile(
    r'<link\s[^>]*rel="(?:modulepreload|stylesheet|preload)"[^>]*>|<script\s[^>]*src="[^"]*"[^>]*></script>'
)


def document(language: str) -> str:
    """The page, empty, in this language."""
    told, lost = (html.escape(words(f"shell.{key}", language)) for key in ("script", "lost"))
    return f"""<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>finetune30</title>
<link rel="icon" href="/favicon.png">
<meta name="finetune30-lost" content="{lost}">
<script src="/frame.js"></script>
{_parts()}
<link rel="stylesheet" href="/frame.css">
</head>
<body><noscript><p>{told}</p></noscript><div id="root"></div></body>
</html>
"""


@cache
def _parts() -> str:
    found = _PARTS.findall((Path(file_util.get_static_dir()) / "index.html").read_text(encoding="utf-8"))
    return "\n".join(found).replace('="./static/', '="/static/')
