"""Models: experiments under a name and a number, and aliases that are moved and moved back.

Neighbours: ``experiments`` has what is registered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from finetune30.client.address import segment
from finetune30.client.answers import Page, shaped
from finetune30.client.answers_more import Alias, Model, ModelVersion, Move, Resolved, WholeModelVersion
from finetune30.client.asking import Asking, every
from finetune30.client.wire import Request

_PAGE = 100


class Models(Asking):
    """``/models``."""

    def models(self, *, limit: int | None = None, **filters: Any) -> Iterator[Model]:
        """The models one may use, by name.

        Args:
            filters: ``owner`` (or ``me``), ``name`` (a part of it), ``experiment_id``, ``dataset_hash``.
        """
        size = _PAGE if limit is None else min(limit, _PAGE)

        def page(after: str | None) -> Page[Model]:
            return self._page("/models", "models", Model, {"limit": size, "after": after, **filters})

        return every(page, limit)

    def model(self, name: str) -> Model:
        """One model and its aliases."""
        return self._get(_at(name), Model)

    def register(
        self,
        name: str,
        experiment_id: str,
        *,
        alias: str | None = None,
        note: str = "",
        description: str | None = None,
        visibility: str | None = None,
    ) -> ModelVersion:
        """Make a successful experiment the next version of a model; a new name becomes a model.

        Args:
            alias: Points at the new version at once.
            visibility: ``private`` or ``team``.
        """
        body = {"name": name, "experiment_id": experiment_id, "alias": alias, "note": note}
        more = {"description": description, "visibility": visibility}
        return self._post("/models", ModelVersion, _given({**body, **more}))

    def change_model(self, name: str, *, description: str | None = None, visibility: str | None = None) -> Model:
        """Change what it says of itself, or who may see it."""
        return self._post(_at(name), Model, _given({"description": description, "visibility": visibility}))

    def delete_model(self, name: str, *, force: bool = False) -> None:
        """Forget a model and its versions; the experiments stay. One that has aliases only with ``force``."""
        self._delete(_at(name), force=force or None)

    def resolve(self, address: str) -> Resolved:
        """What ``name@alias``, ``name/3`` or an experiment's id means just now."""
        return self._get("/models/resolve", Resolved, address=address)

    def model_versions(self, name: str, limit: int | None = None) -> Iterator[ModelVersion]:
        """Its versions, the newest first."""
        size = _PAGE if limit is None else min(limit, _PAGE)

        def page(before: int | None) -> Page[ModelVersion]:
            return self._page(f"{_at(name)}/versions", "versions", ModelVersion, {"limit": size, "before": before})

        return every(page, limit)

    def model_version(self, name: str, version: int) -> WholeModelVersion:
        """One version and its files."""
        return self._get(f"{_at(name)}/versions/{version:d}", WholeModelVersion)

    def unregister(self, name: str, version: int) -> None:
        """Take a version away; the experiment stays, the number is not given again."""
        self._delete(f"{_at(name)}/versions/{version:d}")

    def model_card(self, name: str, version: int) -> str:
        """Its card, as Markdown."""
        asked = Request("GET", f"{_at(name)}/versions/{version:d}/card", headers={"Accept": "text/markdown"}, safe=True)
        return self._send(asked).body.decode("utf-8", "replace")

    def lineage(self, name: str, version: int) -> dict[str, Any]:
        """Which run on which data and which base it is."""
        return self._object(f"{_at(name)}/versions/{version:d}/lineage")

    def alias(self, name: str, alias: str) -> Alias:
        """Where it points, and where a rollback would move it."""
        return self._get(_alias(name, alias), Alias)

    def point(self, name: str, alias: str, version: int, *, expected: int | None = None, note: str = "") -> Alias:
        """Let an alias point at a version: promote.

        Args:
            expected: The version it points at now; a Conflict where somebody moved it in between.
        """
        body = _given({"version": version, "expected": expected, "note": note})
        answer = self._send(Request("PUT", _alias(name, alias), body=body))
        return shaped(Alias, answer.json(), answer.server)

    def rollback(self, name: str, alias: str, *, expected: int | None = None, note: str = "") -> Alias:
        """Move it to the version it was at before; again, and it goes further back."""
        return self._post(f"{_alias(name, alias)}/rollback", Alias, _given({"expected": expected, "note": note}))

    def drop_alias(self, name: str, alias: str, *, expected: int | None = None) -> None:
        """Take it away. Its history stays, and a rollback brings it back."""
        self._delete(_alias(name, alias), expected=expected)

    def alias_history(self, name: str, alias: str | None = None, limit: int | None = None) -> Iterator[Move]:
        """Every move of an alias, or of all of them, the newest first."""
        path = f"{_at(name)}/history" if alias is None else f"{_alias(name, alias)}/history"
        size = _PAGE if limit is None else min(limit, _PAGE)

        def page(before: int | None) -> Page[Move]:
            return self._page(path, "moves", Move, {"limit": size, "before": before})

        return every(page, limit)


def _at(name: str) -> str:
    return f"/models/{segment(name)}"


def _alias(name: str, alias: str) -> str:
    return f"{_at(name)}/aliases/{segment(alias)}"


def _given(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value is not None}
