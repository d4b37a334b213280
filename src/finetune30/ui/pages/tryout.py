"""A page to come."""

from __future__ import annotations

import streamlit as st


def page() -> None:
    """To come."""
    st.title("tryout")
