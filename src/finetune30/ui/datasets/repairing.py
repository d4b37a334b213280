"""What checks found in a file is repaired in a copy, by one click; what was changed is told beside the copy.

Neighbours: ``client.repair_dataset`` asks for it; ``dataset`` and ``submitting.source`` place this.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from finetune30.client.answers_more import Dataset, Repaired
from finetune30.errors import Finetune30Error, StateError
from finetune30.ui import shown
from finetune30.ui.quality import name_of
from finetune30.ui.shell import here, inert, say, show

_DONE = "data_repaired"


def offer(one: Dataset, key: str, then: Callable[[Dataset], None]) -> None:
    """The button; ``then`` goes on with the copy."""
    with st.container(border=True, key=f"{key}_box"):
        st.caption(say("data.repair_help"))
        pressed = st.button(say("data.repair"), key=key, icon=":material/build:")
    if not pressed:
        return
    try:
        with st.spinner(say("data.repairing")):
            made = here().client.repair_dataset(one.dataset_id)
    except StateError:
        st.info(say("data.repair_nothing"), icon=":material/info:")
        return
    except Finetune30Error as fault:
        show(fault)
        return
    st.session_state[_DONE] = (made, one.name)
    then(made.dataset)


def told(one: Dataset) -> None:
    """What was changed, for a copy that was just made."""
    done: tuple[Repaired, str] | None = st.session_state.get(_DONE)
    if done is None or done[0].dataset.dataset_id != one.dataset_id:
        return
    made, name = done
    st.success(say("data.repaired", name=inert(name)), icon=":material/build:")
    st.markdown(
        "\n".join(
            f"- {inert(name_of(fix))}: {say('data.repaired_rows', count=shown.number(count))}"
            for fix, count in made.fixes.items()
        )
    )
