"""The base of all shapes that routes answer. Neighbours: ``answers`` and its like."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Shape(BaseModel):
    """Built by the first route that needs it, not where it is written: most stand within another."""

    model_config = ConfigDict(defer_build=True)
