"""The least that an endpoint of this kind can cost: FastAPI, the check of a token, one row by SQLAlchemy, JSON."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header
from sqlalchemy import select
from starlette.requests import Request

from finetune30 import database
from finetune30.access import Access, User
from finetune30.experiments.tables import experiments, row
from finetune30.jobs import Jobs
from finetune30.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """An app with one endpoint, ``/row/{name}``."""
    app = FastAPI()
    app.state.engine = Jobs(settings).store.engine
    app.state.tokens = Access(settings, app.state.engine).tokens
    app.get("/row/{name}")(one_row)
    return app


def user(request: Request, authorization: Annotated[str, Header()]) -> User:
    """Whose token it is, as ours looks it up."""
    found: User = request.app.state.tokens.read(authorization.removeprefix("Bearer "))
    return found


def one_row(request: Request, name: str, _: Annotated[User, Depends(user)]) -> dict[str, Any]:
    """All columns of a run."""
    with database.read(request.app.state.engine) as connection:
        return dict(connection.execute(select(experiments).where(row.id == name)).one()._mapping)
