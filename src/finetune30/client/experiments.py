"""Experiments: found by what came out of them, looked at, deleted.

Neighbours: ``artifacts`` fetches what a run left behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from finetune30.client.address import segment
from finetune30.client.answers import Experiment, Page, Statistics, WholeExperiment
from finetune30.client.asking import Asking, every

_PAGE = 100


class Experiments(Asking):
    """``/experiments``."""

    def experiments(
        self,
        *,
        owner: str | None = "me",
        name: str | None = None,
        min_accuracy: float | None = None,
        max_runtime: float | None = None,
        start_date: date | str | None = None,
        end_date: date | str | None = None,
        status: str | None = None,
        sort_by: str | None = None,
        desc: bool | None = None,
        limit: int | None = None,
        **more: Any,
    ) -> Iterator[Experiment]:
        """Those that pass all filters, page by page as they are taken.

        Args:
            owner: ``me``, a user's name, or None for everybody's (both for admins only).
            sort_by: ``created_at``, ``name``, ``train_runtime`` or ``eval_accuracy``; the largest first unless ``desc``
                is False.
            more: Filters of a newer server, such as ``q``.
        """
        filters = {
            "owner": owner,
            "name": name,
            "min_accuracy": min_accuracy,
            "max_runtime": max_runtime,
            "start_date": start_date,
            "end_date": end_date,
            "status": status,
            "sort_by": sort_by,
            "desc": desc,
            **more,
        }
        size = _PAGE if limit is None else min(limit, _PAGE)
        return every(lambda after: self.experiments_page(limit=size, after=after, **filters), limit)

    def experiments_page(self, *, limit: int = _PAGE, after: str | None = None, **filters: Any) -> Page[Experiment]:
        """One page of them; the filters are those of ``experiments``, and none stands unless it is given."""
        return self._page("/experiments", "experiments", Experiment, {"limit": limit, "after": after, **filters})

    def stats(self, owner: str | None = "me") -> Statistics:
        """Figures over one's experiments, another user's, or (None) all."""
        return self._get("/experiments/stats", Statistics, owner=owner)

    def experiment(self, experiment_id: str) -> WholeExperiment:
        """One experiment with its configuration and figures."""
        return self._get(f"/experiments/{segment(experiment_id)}", WholeExperiment)

    def delete(self, experiment_id: str) -> None:
        """Forget an experiment and remove its folder; one that runs must be cancelled first."""
        self._delete(f"/experiments/{segment(experiment_id)}")
