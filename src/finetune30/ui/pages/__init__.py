"""The pages, and where they stand. Each is a module with a function ``page()``; its words are ``words/<module>.py``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import streamlit as st

from finetune30.ui.seats import Seat
from finetune30.ui.shell import guarded, say

# Module, path, icon, whether it stands in the menu; those of a section beside each other.
_SECTIONS = {
    "train": (
        # The address without a path leads to the first page, which has one: a default page of Streamlit has none.
        ("home", "", "home", False),
        ("experiments", "experiments", "table_view", True),
        ("submit", "submit", "add_circle", True),
        ("run", "run", "monitoring", False),
        ("compare", "compare", "compare", True),
    ),
    "library": (
        ("data", "data", "database", True),
        ("models", "models", "inventory_2", True),
        ("try", "try", "chat", True),
    ),
    "operate": (("account", "account", "person", True), ("admin", "admin", "shield_person", True)),
}
_HOME, _FIRST, _FOR_ADMINS = "home", "experiments", {"admin"}
PATHS = frozenset({"", *(path for some in _SECTIONS.values() for _, path, *_ in some)})
"""Those that are a page; the first one has none."""


def navigation(seat: Seat) -> dict[str, list[Any]]:
    """What this person may open, by section."""
    return {
        say(f"shell.{section}"): [
            _page(name, path, icon, listed)
            for name, path, icon, listed in some
            if seat.is_admin or name not in _FOR_ADMINS
        ]
        for section, some in _SECTIONS.items()
    }


def page_of(name: str) -> Any:
    """A page to link to or to switch to: ``st.switch_page(page_of("run"), query_params={"id": …})``."""
    return next(_page(*one) for some in _SECTIONS.values() for one in some if one[0] == name)


def path_of(name: str) -> str:
    """Its path in the address, as it is known in the menu."""
    return next(path for some in _SECTIONS.values() for one, path, *_ in some if one == name)


def _page(name: str, path: str, icon: str, listed: bool) -> Any:
    def run() -> None:
        if name == _HOME:
            st.switch_page(page_of(_FIRST), query_params=st.query_params.to_dict())
        import_module(f"finetune30.ui.pages.{_MODULES.get(name, name)}").page()

    return st.Page(
        guarded(run),
        title=say(f"shell.{_FIRST if name == _HOME else name}"),
        icon=f":material/{icon}:",
        url_path=path,
        default=name == _HOME,
        visibility="visible" if listed else "hidden",
    )


# ``try`` is a word of Python.
_MODULES = {"try": "tryout"}
