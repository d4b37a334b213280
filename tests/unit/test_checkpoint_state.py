"""Optimizer, scheduler and random states survive without pickle."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from finetune30.training import state


def test_an_optimizers_state_comes_back_as_it_was(tmp_path: Path) -> None:
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW([{"params": [layer.weight], "lr": 0.1}, {"params": [layer.bias], "lr": 0.2}])
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()

    state.save_state(optimizer.state_dict(), tmp_path / "optimizer")
    back = state.load_state(tmp_path / "optimizer")

    before = optimizer.state_dict()
    assert back["param_groups"] == before["param_groups"]
    assert back["state"].keys() == before["state"].keys()
    for index, values in before["state"].items():
        assert all(torch.equal(back["state"][index][name], value) for name, value in values.items())


def test_random_states_continue_the_same_sequence(tmp_path: Path) -> None:
    import random

    import numpy as np

    state.save_state(state.random_states("cpu"), tmp_path / "rng")
    drawn = (random.random(), np.random.rand(), torch.rand(2))

    state.set_random_states(state.load_state(tmp_path / "rng"), "cpu")

    again = (random.random(), np.random.rand(), torch.rand(2))
    assert drawn[:2] == again[:2]
    assert torch.equal(drawn[2], again[2])


def test_what_is_no_plain_data_is_refused_and_not_pickled(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot store a function at /step without pickle"):
        state.save_state({"step": lambda: 1}, tmp_path / "x")
