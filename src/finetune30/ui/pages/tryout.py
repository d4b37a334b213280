"""Try it: sentences that are typed or pasted, or a file, answered by adapters side by side.

Who answers stands in the address (``?model=films@champion``). Neighbours: ``answerers`` is their choice, ``questions``
the sentences, ``labelling`` the files; ``client.predictions`` asks the service.
"""

from __future__ import annotations

import streamlit as st

from finetune30.client.predictions import Serving
from finetune30.errors import Finetune30Error, Unreachable, WrongServer
from finetune30.ui.shell import here, inert, say, show
from finetune30.ui.trying import answerers, labelling, questions


def page() -> None:
    """The choice, and what is asked."""
    st.title(say("shell.try"), anchor=False)
    chosen = answerers.choice()
    if chosen is None:
        return
    with st.container(key="try_service"):  # one place, whatever is in it: what is typed below must not move
        there = _service()
    sentences, file = st.tabs([say("tryout.sentences"), say("tryout.file")])
    with sentences:
        questions.form(chosen, ready=there)
    with file:
        labelling.form(chosen, ready=there)


def _service() -> bool:
    """One line about the service; whether it can be asked."""
    try:
        found = here().client.serving()
    except (Unreachable, WrongServer) as fault:
        away(fault)
        return False
    except Finetune30Error as fault:
        show(fault)
        return False
    st.caption(inert(_told(found)))
    return True


def _told(found: Serving) -> str:
    base = found.model_id or say("tryout.no_base")
    return say("tryout.service", base=base, device=found.device or "?", count=found.adapters)


def away(fault: Finetune30Error) -> None:
    """The service does not answer: calm, and what to start."""
    st.warning(say("tryout.away"), icon=":material/cloud_off:")
    st.caption(inert(f"{fault.where}: {fault.message}"))
    st.code("finetune30 serve", language="sh")
    st.button(say("shell.again"), key="try_again", icon=":material/refresh:")
