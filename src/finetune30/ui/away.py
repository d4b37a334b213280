"""A browser that shows a page is sent to another address, in the same tab.

Streamlit's links open new tabs, and what answers over its connection sets no cookie. Its protocol has a message for
logins that does both; it is the one that we send ourselves. Neighbours: ``front`` and ``shell`` send it to ``door``.
"""

from __future__ import annotations

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.scriptrunner import get_script_run_ctx


def message(path: str) -> ForwardMsg:
    """What the browser is told."""
    found = ForwardMsg()
    found.auth_redirect.url = path
    return found


def go(path: str) -> None:
    """Send away who looks at the page of this script run; what is drawn before they are gone, they still see."""
    context = get_script_run_ctx()
    if context is not None:
        context.enqueue(message(path))
