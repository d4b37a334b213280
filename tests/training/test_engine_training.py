"""Training with the engine is the training anybody would write with torch, PEFT and AdamW."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from finetune30 import data, modeling
from finetune30.errors import ConfigError
from finetune30.modeling import engine
from finetune30.modeling.predict import logits_of
from finetune30.modeling.tokens import encode
from finetune30.training import batch_size, checkpoints, choose_batch_size, lower
from finetune30.training.encode import StepBatches
from finetune30.training.lower import LowerOutputs
from tests import tiny
from tests.training.conftest import Bench


def by_hand(config: Any, splits: data.Splits) -> dict[str, torch.Tensor]:
    """The adapter after the steps of ``config``, by a plain loop over stock PEFT; no dropout anywhere."""
    base, training = modeling.inspect(config.model.name), config.training
    model = modeling.attach(modeling.load(base, splits.label_names, seed=config.seed), base, config).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    tokens = encode(base.tokenizer, splits.train.texts, config.data.max_length, pairs=splits.train.pairs)
    lengths = tokens.lengths().tolist()
    order = StepBatches(lengths, batch_size=16, accumulation=1, seed=config.seed, by_length=True)
    parameters = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for n, p in model.named_parameters() if p.requires_grad and not n.endswith("bias")]
    rest = [p for n, p in model.named_parameters() if p.requires_grad and n.endswith("bias")]
    groups = [{"params": decayed, "weight_decay": training.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=training.learning_rate)
    total, warm_up = 12, int(training.warmup_steps * 12)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: step / warm_up if step < warm_up else (total - step) / (total - warm_up)
    )
    for epoch in range(2):
        order.set_epoch(epoch)
        for rows in order:
            labels = torch.from_numpy(splits.train.labels[rows])
            logits = model(**tokens.batch(rows)).logits
            if splits.multi_label:
                nn.functional.binary_cross_entropy_with_logits(logits, labels.float()).backward()
            else:
                nn.functional.cross_entropy(logits, labels).backward()
            nn.utils.clip_grad_norm_(parameters, training.max_grad_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    modeling.save(model, Path(config.experiment_name))
    return load_file(Path(config.experiment_name) / "adapter_model.safetensors")


def without_head_dropout(base: modeling.BaseModel, names: Any) -> modeling.LoadedBase:
    loaded = modeling.load(base, names, seed=3)
    for module in loaded.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return loaded


DATA = {"one label": None, "several labels": tiny.several_labels, "pairs": lambda: tiny.pairs_of_texts(96, 32)}


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_twelve_steps_end_with_the_weights_of_a_plain_loop(
    tiny_model: Callable[[str], Path],
    tiny_data: Path,
    tmp_path: Path,
    bench: Bench,
    architecture: str,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tiny.experiment(
        tiny_model(architecture),
        tiny_data,
        lora__lora_dropout=0.0,
        lora__target_modules="all-linear",
        training__eval_strategy="no",
        experiment_name="plain",
    )
    make = DATA[kind]
    splits = data.load(config) if make is None else make()
    expected = by_hand(config, splits)

    trained = bench.fit(config, tmp_path / "ours", splits, load=without_head_dropout)

    assert "transformers' own code" not in bench.notes()
    ours = load_file(trained.folder / "adapter_model.safetensors")
    assert ours.keys() == expected.keys()
    for name, value in expected.items():
        # Adam divides by the size of a gradient: where that is nearly 0, a last bit moves a weight by a step.
        assert (ours[name] - value).abs().mean() < 1e-4, name
        assert value.abs().max() > 1e-4, name


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model__dropout": 0.1}, "dropout inside the base model"),
        ({"model__dropout": None}, "dropout inside the base model"),
        ({"lora__use_dora": True}, "more than plain LoRA"),
    ],
)
def test_what_the_engine_does_not_know_trains_on_stock_code_and_says_so(
    tiny_model: Callable[[str], Path], tiny_data: Path, tmp_path: Path, bench: Bench, changes: Any, reason: str
) -> None:
    trained = bench.fit(tiny.experiment(tiny_model("bert"), tiny_data, **changes), tmp_path)

    assert "trains on transformers' own code, not on the fast engine" in bench.notes()
    assert reason in bench.notes()
    assert trained.figures["steps"] == 12


def test_bfloat16_learns_as_well_as_float32(tiny_model: Callable[[str], Path], tiny_data: Path, tmp_path: Path) -> None:
    found = {}
    for precision in ("float32", "bfloat16"):
        bench = Bench(compute=modeling.Compute("cpu", precision, "said by the test"))
        bench.fit(tiny.experiment(tiny_model("distilbert"), tiny_data, lora__lora_dropout=0.0), tmp_path / precision)
        found[precision] = [e.metrics["loss"] for e in bench.events if e.kind == "evaluation"]
    assert found["bfloat16"] == pytest.approx(found["float32"], abs=0.02)
    assert found["bfloat16"] != found["float32"]


# Frozen layers


def test_frozen_layers_have_no_adapter_and_their_kept_outputs_change_nothing(
    tiny_model: Callable[[str], Path], tiny_data: Path, tmp_path: Path, bench: Bench
) -> None:
    model = tiny_model("bert")
    upper = {"lora__layers_to_transform": [1], "lora__lora_dropout": 0.0}
    computed = Bench().fit(tiny.experiment(model, tiny_data, **upper), tmp_path / "computed", load=without_head_dropout)

    kept = bench.fit(
        tiny.experiment(model, tiny_data, lora__lora_dropout=0.0, training__freeze_below=1),
        tmp_path / "kept",
        load=without_head_dropout,
    )

    assert "the outputs of the 1 lowest layers are kept" in bench.notes()
    expected = load_file(computed.folder / "adapter_model.safetensors")
    ours = load_file(kept.folder / "adapter_model.safetensors")
    assert ours.keys() == expected.keys()
    assert not any("layer.0" in name for name in ours)
    for name, value in expected.items():
        assert (ours[name] - value).abs().mean() < 1e-4, name


def test_a_resumed_run_with_frozen_layers_ends_with_the_uninterrupted_weights(
    tiny_model: Callable[[str], Path], tiny_data: Path, tmp_path: Path, weights_of: Callable[[Path], bytes]
) -> None:
    config = tiny.experiment(tiny_model("distilbert"), tiny_data, training__freeze_below=1)
    expected = weights_of(Bench().fit(config, tmp_path / "whole").folder)
    asked = iter([None] * 4 + ["interrupted"] * 9)
    assert Bench().fit(config, tmp_path / "cut", stop_requested=lambda: next(asked)).stopped == "interrupted"

    assert weights_of(Bench().fit(config, tmp_path / "cut").folder) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kept_outputs_answer_like_the_tokens_they_stand_for(
    tiny_model: Callable[[str], Path], tmp_path: Path, dtype: torch.dtype
) -> None:
    config = tiny.experiment(tiny_model("roberta"), "builtin:reviews", lora__lora_dropout=0.0)
    base = modeling.inspect(config.model.name)
    model = modeling.attach(modeling.load(base, ("a", "b"), seed=1), base, config).eval()
    encoder = engine.install(model, dtype, trains=False)
    tokens = encode(base.tokenizer, [text for text, _ in tiny.rows(70)], 32)
    expected = logits_of(model, tokens, batch_size=8, device="cpu")

    kept = LowerOutputs(encoder, tokens, 1, tmp_path, "cpu")
    encoder.below = 1

    assert list(tmp_path.iterdir()) == []  # a file without a name
    close = 1e-5 if dtype == torch.float32 else 1e-2
    np.testing.assert_allclose(logits_of(model, kept, batch_size=8, device="cpu"), expected, atol=close)


def test_memory_that_runs_out_below_halves_the_batch_there(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    config = tiny.experiment(tiny_model("bert"), "builtin:reviews", lora__lora_dropout=0.0)
    base = modeling.inspect(config.model.name)
    model = modeling.attach(modeling.load(base, ("a", "b"), seed=1), base, config).eval()
    encoder = engine.install(model, torch.float32, trains=False)
    tokens = encode(base.tokenizer, [text for text, _ in tiny.rows(70)], 32)
    expected = LowerOutputs(encoder, tokens, 1, tmp_path, "cpu").values
    inner = encoder.hidden

    class Small:
        """The same encoder on a device with room for 20 texts."""

        def __getattr__(self, name: str) -> Any:
            return getattr(encoder, name)

        def hidden(self, input_ids: torch.Tensor, **rest: Any) -> torch.Tensor:
            if len(input_ids) > 20:
                raise torch.OutOfMemoryError("fake device: out of memory")
            return inner(input_ids, **rest)

    small = LowerOutputs(Small(), tokens, 1, tmp_path, "cpu")  # type: ignore[arg-type]

    np.testing.assert_allclose(small.values, expected, atol=1e-5)


def test_a_disk_without_room_for_kept_outputs_is_an_error_and_no_signal(tmp_path: Path) -> None:
    """A full disk under a mapped file ends a process by SIGBUS: the room is claimed first."""
    with (tmp_path / "file").open("w+b") as file, pytest.raises(OSError, match=r"space|large"):
        lower._allocate(file.fileno(), 1 << 60)


@pytest.mark.parametrize("changes", [{"lora__modules_to_save": ["word_embeddings"]}])
def test_lower_layers_are_not_kept_where_something_below_them_learns(
    tiny_model: Callable[[str], Path], tiny_data: Path, tmp_path: Path, bench: Bench, changes: dict[str, Any]
) -> None:
    config = tiny.experiment(tiny_model("bert"), tiny_data, training__freeze_below=1, **changes)

    trained = bench.fit(config, tmp_path)

    assert "computed at every step: something before the layers is trained" in bench.notes()
    weights = load_file(trained.folder / "adapter_model.safetensors")
    (name,) = [name for name in weights if "word_embeddings" in name]
    before = load_file(tiny_model("bert") / "model.safetensors")["embeddings.word_embeddings.weight"]
    assert not torch.equal(weights[name], before)


def test_lower_layers_are_not_kept_where_padding_comes_first(
    tiny_model: Callable[[str], Path], tiny_data: Path, tmp_path: Path, bench: Bench
) -> None:
    import json
    import shutil

    model = Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))
    settings = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps({**settings, "padding_side": "left"}))

    bench.fit(tiny.experiment(model, tiny_data, training__freeze_below=1), tmp_path / "artifacts")

    assert "computed at every step: the tokenizer pads on the left" in bench.notes()


def test_nothing_of_kept_outputs_stays(tiny_model: Callable[[str], Path], tiny_data: Path, tmp_path: Path) -> None:
    Bench().fit(tiny.experiment(tiny_model("bert"), tiny_data, training__freeze_below=1), tmp_path)

    final = checkpoints.staging_for(tmp_path, "final_model").name
    assert {path.name for path in tmp_path.iterdir()} == {final, "checkpoint-6", "checkpoint-12"}


def test_an_adapter_outside_the_layers_alone_trains(
    tiny_model: Callable[[str], Path], tiny_data: Path, tmp_path: Path, bench: Bench
) -> None:
    trained = bench.fit(tiny.experiment(tiny_model("bert"), tiny_data, lora__target_modules=["pooler.dense"]), tmp_path)
    assert trained.figures["steps"] == 12


@pytest.mark.parametrize(
    ("architecture", "below", "says"),
    [("bert", 2, "has 2 layers and the adapter needs one"), ("albert", 1, "share their weights")],
)
def test_layers_that_cannot_be_frozen_are_refused_before_any_data_is_read(
    tiny_model: Callable[[str], Path], architecture: str, below: int, says: str
) -> None:
    config = tiny.experiment(tiny_model(architecture), "builtin:reviews", training__freeze_below=below)

    with pytest.raises(ConfigError, match=says):
        modeling.check_fits(modeling.inspect(config.model.name), config)


@pytest.mark.parametrize("changes", [{"lora__layers_to_transform": [1]}, {"model__dropout": 0.1}])
def test_frozen_layers_beside_what_contradicts_them_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"training\.freeze_below: is 1"):
        tiny.experiment("builtin:minilm", "builtin:reviews", training__freeze_below=1, **changes)


# Batches chosen by themselves


class Device(nn.Module):
    """A device with a speed and a memory: ``seconds`` of a batch by its rows, out of memory above ``room``."""

    def __init__(self, seconds: Callable[[int], float], room: int) -> None:
        super().__init__()
        self.seconds, self.room = seconds, room
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, input_ids: torch.Tensor, **_: Any) -> Any:
        import time
        from types import SimpleNamespace

        if len(input_ids) > self.room:
            raise torch.OutOfMemoryError("fake device: out of memory")
        time.sleep(self.seconds(len(input_ids)))
        return SimpleNamespace(logits=self.weight.expand(len(input_ids), 2))


def tokens_of(tiny_model: Callable[[str], Path], rows: int) -> Any:
    tokenizer = modeling.inspect(str(tiny_model("bert"))).tokenizer
    return encode(tokenizer, [text for text, _ in tiny.rows(rows)], 32)


@pytest.mark.parametrize(
    ("seconds", "room", "rows", "chosen"),
    [
        (lambda rows: 0.02, 1000, 100_000, 256),  # a device that never fills: the largest
        (lambda rows: 0.002 * rows, 1000, 100_000, 8),  # one that is full at once: the smallest
        (lambda rows: max(0.064, 0.002 * rows), 1000, 100_000, 32),  # full at 32
        (lambda rows: 0.02, 70, 100_000, 64),  # memory for 70
        (lambda rows: 0.02, 1000, 1000, 16),  # an epoch keeps 50 steps
        (lambda rows: 0.02, 1000, 60, 8),
    ],
)
def test_auto_takes_the_largest_batch_that_pays(
    tiny_model: Callable[[str], Path], seconds: Callable[[int], float], room: int, rows: int, chosen: int
) -> None:
    size, seen = batch_size.largest_that_pays(Device(seconds, room), tokens_of(tiny_model, min(rows, 300)), rows, "cpu")

    assert size == chosen
    assert size in seen


def test_auto_becomes_a_number_before_the_run_and_nothing_of_the_run_changes(
    tiny_model: Callable[[str], Path], tiny_data: Path, tmp_path: Path, weights_of: Callable[[Path], bytes]
) -> None:
    config = tiny.experiment(tiny_model("bert"), tiny_data, training__per_device_train_batch_size="auto")
    bench = Bench()
    trained = bench.fit(config, tmp_path / "auto")
    size = trained.figures["per_device_train_batch_size"]

    assert f"per_device_train_batch_size: auto is {size} here" in bench.notes()
    fixed = tiny.experiment(tiny_model("bert"), tiny_data, training__per_device_train_batch_size=size)
    assert weights_of(Bench().fit(fixed, tmp_path / "fixed").folder) == weights_of(trained.folder)


def test_the_number_goes_into_the_configuration(tiny_model: Callable[[str], Path], tiny_data: Path) -> None:
    config = tiny.experiment(tiny_model("bert"), tiny_data, training__per_device_train_batch_size="auto")
    base, compute = modeling.inspect(config.model.name), modeling.choose("cpu", False)

    chosen = choose_batch_size(base, data.load(config), config, compute, lambda _: None)

    assert chosen.training.per_device_train_batch_size in (8, 16)
    assert "per_device_train_batch_size: auto" not in chosen.to_yaml()
