"""The document in which Streamlit's page lives: its scripts and styles, in a frame of ours.

Streamlit's own says it is in English whatever is shown in it, and has a script inside, for which our policy would have
to allow all such. ``place.js`` says where the server is, which Streamlit else finds out by asking for what is not
there. Neighbours: ``front`` sends it to who is logged in.
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
    told = html.escape(words("shell.script", language))
    return f"""<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>finetune30</title>
<link rel="icon" href="/favicon.png">
<script src="/place.js"></script>
{_parts()}
</head>
<body><noscript><p>{told}</p></noscript><div id="root"></div></body>
</html>
"""


@cache
def _parts() -> str:
    found = _PARTS.findall((Path(file_util.get_static_dir()) / "index.html").read_text(encoding="utf-8"))
    return "\n".join(found).replace('="./static/', '="/static/')
