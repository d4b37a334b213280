"""What a name means, whatever goes wrong on the way: each of these was once found by a stranger."""

from __future__ import annotations

import gc
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from finetune30 import modeling
from finetune30.errors import Forbidden, ModelError, NotFound, StorageError
from finetune30.modeling.device import Compute
from finetune30.modeling.predict import probabilities_of
from finetune30.serving.following import Following
from finetune30.serving.host import AdapterHost, Live
from finetune30.serving.lane import Lane, Limits
from tests import tiny
from tests.modeling.test_shared import alone, save_adapter
from tests.serving.shelf import Shelf, change_weights

TEXTS = [text for text, _ in tiny.rows(20)]


@pytest.fixture
def lane() -> Iterator[Lane]:
    lane = Lane(Limits(waiting_rows=100_000))
    yield lane
    lane.close()


@pytest.fixture
def host(lane: Lane) -> AdapterHost:
    return AdapterHost(Compute("cpu", "float32", "in a test"), lane, 1 << 30)


@pytest.fixture
def shelf(tmp_path: Path, tiny_model: Callable[[str], Path]) -> Shelf:
    return Shelf(tmp_path / "shelf", tiny_model("bert"))


@pytest.fixture
def following(shelf: Shelf, host: AdapterHost) -> Following:
    return Following(shelf, host, None, 3600)


def answers(host: AdapterHost, live: Live) -> np.ndarray[Any, Any]:
    return np.stack(host.ask(live, TEXTS).future.result(60))


def test_g22_files_that_change_below_change_no_answer(shelf: Shelf, host: AdapterHost, following: Following) -> None:
    path = shelf.add("run") / "adapter_model.safetensors"
    live = following.live("run")
    before = answers(host, live)

    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(bytes(path.stat().st_size // 2))
        file.flush()
        np.testing.assert_array_equal(answers(host, live), before)
        file.truncate(0)

    np.testing.assert_array_equal(answers(host, live), before)


def test_what_is_let_go_leaves_the_memory_and_what_is_asked_often_stays(
    shelf: Shelf, host: AdapterHost, following: Following
) -> None:
    for number in range(8):
        shelf.add(f"run-{number}", seed=number)
    host.memory_bytes = 3 * following.live("run-0").adapter.nbytes
    gone = weakref.ref(following.live("run-1").adapter)

    for number in range(2, 8):
        following.live(f"run-{number}")
        assert following.known("run-0") is not None

    gc.collect()
    assert gone() is None
    assert len(host.there()) == 3
    assert following.live("run-1").found.experiment_id == "run-1"


def test_s98_a_right_that_was_withdrawn_is_withdrawn_though_the_new_adapter_is_bad(
    shelf: Shelf, following: Following
) -> None:
    shelf.add("good")
    shelf.damage("bad", "good", lambda folder: (folder / "config.json").unlink())
    shelf.move("m@champion", "good")
    assert following.live("m@champion").found.everybodys

    shelf.move("m@champion", "bad")
    shelf.everybodys = False
    following.refresh()

    live = following.known("m@champion")
    assert live is not None
    assert live.found.experiment_id == "good"
    assert not live.found.everybodys


def test_s98_what_was_deleted_is_no_longer_asked(shelf: Shelf, following: Following) -> None:
    shelf.add("run")
    shelf.move("m@champion", "run")
    following.live("m@champion")
    following.live("run")
    shutil.rmtree(shelf.folder / "run")

    following.refresh()

    assert following.known("m@champion") is None
    with pytest.raises(NotFound):
        following.live("run")


@pytest.mark.parametrize("odd", ["dtype", "shape", "bias", "init"])
def test_g23_an_odd_file_stops_no_other_name(shelf: Shelf, following: Following, odd: str) -> None:
    shelf.add("good", seed=1)
    shelf.add("better", seed=2)
    shelf.damage("odd", "good", ODD[odd])
    for name in ("a@champion", "b@champion"):
        shelf.move(name, "good")
        following.live(name)
    shelf.move("a@champion", "odd")
    shelf.move("b@champion", "better")

    assert following.refresh() == ["b@champion"]

    [refused] = following.refused
    assert (refused.address, refused.experiment_id) == ("a@champion", "odd")
    with pytest.raises(ModelError):
        following.live("odd")


def _header(old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "adapter_model.safetensors"
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new, 1))

    return change


def _config(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "adapter_config.json"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


ODD = {
    "dtype": _header(b'"F32"', b'"F8_"'),
    "shape": _header(b'"shape":[2]', b'"shape":"2"'),
    "bias": _config('"bias": "none"', '"bias": "foo"'),
    "init": _config('"init_lora_weights": true', '"init_lora_weights": 7'),
}


def test_a_switch_is_made_after_a_fault_of_a_moment(shelf: Shelf, host: AdapterHost) -> None:
    shelf.add("old", seed=1)
    shelf.add("new", seed=2)
    shelf.move("m@champion", "old")
    following = Following(shelf, host, None, 0.02)
    following.live("m@champion")
    following.start()
    shelf.faults["m@champion"] = StorageError("the database is locked")
    shelf.move("m@champion", "new")
    until = threading.Event()
    for _ in range(500):
        live = following.known("m@champion")
        if live is not None and live.found.experiment_id == "new":
            break
        until.wait(0.02)
    else:
        pytest.fail("it was never switched")
    following.close()


def test_a_name_that_moves_while_it_is_loaded_first_means_the_new_one(
    shelf: Shelf, host: AdapterHost, following: Following
) -> None:
    shelf.add("old", seed=1)
    shelf.add("new", seed=2)
    shelf.move("m@champion", "old")

    def check(found: Any) -> None:
        if found.experiment_id == "old":
            shelf.move("m@champion", "new")  # between the look and the load

    assert following.live("m@champion", check).found.experiment_id == "new"


def test_who_may_not_ask_makes_nothing_be_loaded(shelf: Shelf, host: AdapterHost, following: Following) -> None:
    shelf.add("run")

    def refuse(_: Any) -> None:
        raise Forbidden("no")

    with pytest.raises(Forbidden):
        following.live("run", refuse)
    assert host.loads == 0


def test_why_an_adapter_cannot_answer_is_kept_for_its_owner(shelf: Shelf, following: Following) -> None:
    shelf.add("good")
    shelf.damage("bad", "good", lambda f: change_weights(f, lambda w: next(iter(w.values())).fill_(float("nan"))))
    with pytest.raises(ModelError):
        following.live("bad")
    [refused] = following.refused
    assert (refused.address, refused.owner) == ("bad", "ana")
    assert "NaN" in refused.message


def test_answers_that_are_no_numbers_are_refused(shelf: Shelf, following: Following) -> None:
    shelf.add("good")
    shelf.damage("huge", "good", lambda f: change_weights(f, lambda w: [t.mul_(1e38) for t in w.values()]))
    with pytest.raises(ModelError, match="no numbers"):
        following.live("huge")


def test_s92_a_base_that_has_other_weights_now_is_another_base(
    tmp_path: Path, tiny_model: Callable[[str], Path], host: AdapterHost
) -> None:
    from finetune30.serving.catalog import Found

    base = tmp_path / "base"
    shutil.copytree(tiny_model("bert"), base)

    def found(name: str) -> Found:
        sha256 = modeling.inspect(str(base)).weights_sha256
        folder = save_adapter(tmp_path / name, base, seed=4)
        return Found(name, name, folder, str(base), None, 32, "ana", base_sha256=sha256)

    old = found("old")
    host.live(old)
    weights = {
        name: tensor + 0.3 * torch.randn_like(tensor) for name, tensor in load_file(base / "model.safetensors").items()
    }
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    new = found("new")

    sure = probabilities_of(answers(host, host.live(new)), multi_label=False)
    np.testing.assert_allclose(sure, alone(new.folder, base, TEXTS), atol=1e-4)
    host.memory_bytes = 0
    host.pin(frozenset())
    again = AdapterHost(host.compute, host.lane, 1 << 30)
    with pytest.raises(ModelError, match="other weights"):
        again.live(old)


def test_the_same_run_with_other_files_is_another_adapter(shelf: Shelf, host: AdapterHost) -> None:
    from dataclasses import replace

    folder = shelf.add("run", seed=1)
    first = replace(shelf.find("run"), sha256="1" * 64)
    before = answers(host, host.live(first))
    shutil.rmtree(folder)
    shelf.add("run", seed=2)

    live = host.live(replace(first, sha256="2" * 64))

    assert live.sha256 == "2" * 64
    assert not np.allclose(answers(host, live), before)


def test_an_adapter_that_bfloat16_moves_far_is_computed_in_float32(
    tiny_model: Callable[[str], Path], tmp_path: Path, lane: Lane
) -> None:
    shelf = Shelf(tmp_path / "shelf", tiny_model("bert"))
    shelf.add("run", labels=3)
    # Large weights: small errors of the hidden states become large ones of the probabilities.
    change_weights(shelf.folder / "run", lambda w: [t.mul_(30) for n, t in w.items() if "classifier" in n])
    host = AdapterHost(Compute("cpu", "bfloat16", "in a test"), lane, 1 << 30)
    live = host.live(shelf.find("run"))
    expected = alone(shelf.folder / "run", shelf.model, TEXTS)
    np.testing.assert_allclose(probabilities_of(answers(host, live), multi_label=False), expected, atol=0.01)


def test_only_names_whose_mark_is_another_are_looked_up(shelf: Shelf, following: Following) -> None:
    for number in range(3):
        shelf.add(f"run-{number}", seed=number)
        following.live(f"run-{number}")
    shelf.move("m@champion", "run-0")
    following.live("m@champion")
    shelf.looks = []

    assert following.refresh() == []
    assert shelf.looks == []
    shelf.move("m@champion", "run-1")
    assert following.refresh() == ["m@champion"]
    assert shelf.looks == ["m@champion"]
    shelf.everybodys = False
    following.refresh()
    assert sorted(shelf.looks[1:]) == ["m@champion", "run-0", "run-1", "run-2"]
    live = following.known("run-2")
    assert live is not None
    assert not live.found.everybodys


def test_a_refused_adapter_is_tried_again_though_nothing_moved(shelf: Shelf, following: Following) -> None:
    shelf.add("old", seed=1)
    shelf.damage("new", "old", lambda folder: (folder / "config.json").rename(folder / "away"))
    shelf.move("m@champion", "old")
    following.live("m@champion")
    shelf.move("m@champion", "new")
    assert following.refresh() == []
    (shelf.folder / "new" / "away").rename(shelf.folder / "new" / "config.json")

    assert following.refresh() == ["m@champion"]
    assert following.refused == []


def test_a_name_that_only_a_look_can_tell_of_is_looked_up_each_time(shelf: Shelf, following: Following) -> None:
    shelf.add("run")
    shelf.move(None, "run")  # which run is the newest has no mark
    following.live(None)
    shelf.looks = []

    following.refresh()
    following.refresh()

    assert shelf.looks == [None, None]
