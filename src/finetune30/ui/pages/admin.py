"""For admins: how the service fares, who takes jobs, users, what was done; the part stands in the address.

The API refuses everybody else, whatever is shown here. Neighbours: ``system``, ``people`` and ``audit`` are the parts.
"""

from __future__ import annotations

import streamlit as st

from finetune30.ui.operating import audit, people, system
from finetune30.ui.parts import part
from finetune30.ui.shell import guarded, here, say

_PARTS = {"system": "monitor_heart", "users": "group", "audit": "history"}
_EVERY_S = 5


def page() -> None:
    """The part that was chosen."""
    st.title(say("shell.admin"), anchor=False)
    if not here().is_admin:
        st.warning(say("admin.not_yours"), icon=":material/lock:")
        return
    match part("admin", _PARTS, say("admin.parts"), lambda one: say(f"admin.part_{one}")):
        case "users":
            people.everybody()
        case "audit":
            audit.log()
        case _:
            st.fragment(guarded(system.now), run_every=_EVERY_S)()
