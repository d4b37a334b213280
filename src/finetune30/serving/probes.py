"""What every adapter is tried on: when it is loaded, and when it is merged.

Neighbours: ``host`` and ``trial`` ask.
"""

from __future__ import annotations

PROBES = (
    "This movie was great, I loved every minute of it!",
    "A waste of time: slow, loud and much too long.",
    "The room was clean, the breakfast was cold.",
    "ok",
    "I am not sure what to think of this.",
    "Please send the invoice to my new address before Friday.",
    "Win a free prize now, call this number today!",
    "這部電影真的非常好看，推薦給大家。",
    "房間很髒，不會再來了。",
    "The quick brown fox jumps over the lazy dog near the river bank at dawn.",
    "It broke after two days and nobody answered my messages.",
    "How do I change the password of my account?",
)
"""Texts on which an adapter is tried when it is loaded: of many kinds, none of anybody's data."""
PROBES_TOKENS = 32
"""So many tokens of each are read."""
