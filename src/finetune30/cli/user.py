"""Who types the command: the owner of what the command makes."""

from __future__ import annotations

import getpass
import os


def local_user() -> str:
    """The user's name on this machine; containers often have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"
