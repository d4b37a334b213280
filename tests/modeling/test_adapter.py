"""Adapters: the numbers are LoRA's, and only a fitting, whole adapter loads (S92, S93)."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from finetune30 import modeling
from finetune30.errors import ConfigError, ModelError, ParityError
from finetune30.modeling import parity
from tests import tiny

LABELS = ("negative", "positive")


def _saved(folder: Path, model_folder: Path, **lora: Any) -> Path:
    """An adapter with random weights, as training would save it."""
    config = tiny.experiment(model_folder, "builtin:reviews", **{f"lora__{k}": v for k, v in lora.items()})
    base = modeling.inspect(str(model_folder))
    model = modeling.attach(modeling.load(base, LABELS, seed=1), base, config)
    torch.manual_seed(11)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    modeling.save(model, folder)
    modeling.save_description(base, modeling.Task(LABELS), folder)
    return folder


@pytest.fixture
def adapter(tiny_model, tmp_path: Path) -> Path:
    return _saved(tmp_path / "adapter", tiny_model("distilbert"))


def _open(folder: Path, model: Path) -> modeling.OpenAdapter:
    return modeling.open_adapter(folder, str(model), None, max_length=32)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
@pytest.mark.parametrize("rslora", [False, True])
def test_the_forward_pass_is_loras_by_hand(tiny_model, tmp_path: Path, architecture: str, rslora: bool) -> None:
    """Adapter weights folded into the base by hand: ``W + alpha / r * B A``, with rsLoRA ``alpha / sqrt r``."""
    folder = _saved(tmp_path / "a", tiny_model(architecture), r=4, lora_alpha=8, use_rslora=rslora)
    base = modeling.inspect(str(tiny_model(architecture)))
    by_hand = modeling.load(base, LABELS, seed=5).model.eval()
    weights = load_file(folder / "adapter_model.safetensors")
    scale = 8 / 4**0.5 if rslora else 8 / 4
    with torch.no_grad():
        for name, up in weights.items():
            if name.endswith("lora_B.weight"):
                layer = by_hand.get_submodule(name.removeprefix("base_model.model.").removesuffix(".lora_B.weight"))
                layer.weight += scale * up @ weights[name.replace("lora_B", "lora_A")]
            elif "lora_" not in name:
                by_hand.get_parameter(name.removeprefix("base_model.model.")).copy_(up)
    texts = [text for text, _ in tiny.rows(12, seed=5)]
    batch = base.tokenizer(texts, padding=True, return_tensors="pt")

    expected = by_hand(**batch).logits.softmax(-1).detach().numpy()

    np.testing.assert_allclose(_open(folder, tiny_model(architecture)).probabilities(texts), expected, atol=1e-5)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_peft_and_transformers_alone_load_the_folder_and_answer_the_same(
    tiny_model, tmp_path: Path, architecture: str
) -> None:
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    folder = _saved(tmp_path / "a", tiny_model(architecture))
    texts = [text for text, _ in tiny.rows(9, seed=6)]
    expected = _open(folder, tiny_model(architecture)).probabilities(texts)

    config = AutoConfig.from_pretrained(folder)
    base = AutoModelForSequenceClassification.from_pretrained(tiny_model(architecture), config=config)
    model = PeftModel.from_pretrained(base, folder).eval()
    batch = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")

    got = model(**batch).logits.softmax(-1).detach().numpy()
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert config.id2label == {0: "negative", 1: "positive"}


def test_equal_weights_give_equal_bytes(tiny_model, tmp_path: Path) -> None:
    a, b = (_saved(tmp_path / name, tiny_model("bert")) for name in "ab")
    for name in ("adapter_model.safetensors", "adapter_config.json", "config.json"):
        assert (a / name).read_bytes() == (b / name).read_bytes()


def _config(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "adapter_config.json"
        values = json.loads(path.read_text())
        change(values)
        path.write_text(json.dumps(values))

    return apply


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (
            lambda c: c.update(auto_mapping={"parent_library": "evil", "base_model_class": "X"}),
            "remote code not allowed",
        ),
        (lambda c: c.update(base_model_name_or_path="other/model"), "was trained on other/model"),
        (lambda c: c.update(r=10**6), "r is 1000000"),
        (lambda c: c.update(r=True), "r is True"),
        (lambda c: c.update(target_modules="(a+)+$"), "patterns are not allowed"),
        (lambda c: c.update(target_modules=["q_lin", "(v+)+$"]), "patterns are not allowed"),
        (lambda c: c.update(rank_pattern={"q_lin": 3_000_000}), "rank_pattern is"),
        (lambda c: c.update(target_parameters=["(a+)+$"]), "target_parameters is"),
        (lambda c: c.update(layer_replication=[[0, 9]]), "layer_replication is"),
        (lambda c: c.update(lora_alpha="x"), "lora_alpha is 'x'"),
        (lambda c: c.update(lora_alpha=float("nan")), "lora_alpha is nan"),
        (lambda c: c.update(r=8), "but r is 8"),
        (lambda c: c.update(surprise=1), "unknown keys: surprise"),
        (lambda c: c.update(peft_type="IA3"), "expected LORA for SEQ_CLS"),
        (lambda c: c.update(revision="abc"), "was trained on revision abc"),
    ],
)
def test_s92_a_foreign_or_forged_adapter_config_is_refused(
    tiny_model, adapter: Path, damage: Callable[[dict[str, Any]], None], what: str
) -> None:
    _config(damage)(adapter)
    with pytest.raises(ModelError, match=what):
        _open(adapter, tiny_model("distilbert"))


def _tensors(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "adapter_model.safetensors"
        values = load_file(path)
        change(values)
        save_file(values, path)

    return apply


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "adapter_model.safetensors"
        path.write_bytes(change(path.read_bytes()))

    return apply


def _first(values: dict[str, torch.Tensor], part: str) -> str:
    return next(name for name in sorted(values) if part in name)


def _set(values: dict[str, torch.Tensor], part: str, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    name = _first(values, part)
    values[name] = change(values[name]).contiguous()


def _zero_all_b(values: dict[str, torch.Tensor]) -> None:
    for name in values:
        if "lora_B" in name:
            values[name].zero_()


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (_bytes(lambda b: b[:-5]), "truncated"),
        (_bytes(lambda b: struct.pack("<Q", 2**60) + b[8:]), "header claims"),
        (_bytes(lambda _: b""), "not a safetensors file"),
        (_tensors(lambda v: _set(v, "lora_A", lambda t: t[:, :-1])), "expected a float"),
        (_tensors(lambda v: _set(v, "lora_A", lambda t: t.to(torch.int32))), "expected a float"),
        (_tensors(lambda v: _set(v, "lora_B", lambda t: t * float("nan"))), "NaN or infinity"),
        (_tensors(lambda v: _set(v, "classifier.weight", lambda t: t / 0)), "NaN or infinity"),
        (_tensors(lambda v: v.pop(_first(v, "classifier.weight"))), "1 missing"),
        (_tensors(lambda v: v.update(extra=torch.zeros(2))), "1 unexpected"),
        (_tensors(_zero_all_b), "every lora_B is zero"),
    ],
)
def test_s93_damaged_or_foreign_tensors_are_refused(
    tiny_model, adapter: Path, damage: Callable[[Path], None], what: str
) -> None:
    damage(adapter)
    with pytest.raises(ModelError, match=what):
        _open(adapter, tiny_model("distilbert"))


def test_s93_overlapping_tensors_are_refused(tiny_model, adapter: Path) -> None:
    def overlap(raw: bytes) -> bytes:
        length = int.from_bytes(raw[:8], "little")
        table = json.loads(raw[8 : 8 + length])
        names = [n for n in table if n != "__metadata__"]
        table[names[1]]["data_offsets"] = table[names[0]]["data_offsets"]
        head = json.dumps(table).encode().ljust(length)[:length]
        return raw[:8] + head + raw[8 + length :]

    _bytes(overlap)(adapter)
    with pytest.raises(ModelError, match="overlap"):
        _open(adapter, tiny_model("distilbert"))


def test_s90_an_adapter_that_is_only_a_pickle_is_refused(tiny_model, adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(ModelError, match="a pickle and is never loaded"):
        _open(adapter, tiny_model("distilbert"))


def test_an_adapter_of_another_model_of_the_same_shape_is_refused(tiny_model, adapter: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model("distilbert"), tmp_path / "twin")
    with pytest.raises(ModelError, match="was trained on"):
        _open(adapter, tmp_path / "twin")


@pytest.mark.usefixtures("new_interpreters")
def test_parity_passes_for_what_was_saved_and_fails_when_a_layer_was_not(tiny_model, adapter: Path) -> None:
    model = tiny_model("distilbert")
    texts = [text for text, _ in tiny.rows(6)]
    expected = _open(adapter, model).probabilities(texts)

    assert parity.check(adapter, str(model), None, texts, expected, 32) < 1e-5

    _tensors(lambda v: _set(v, "pre_classifier.weight", lambda t: t * -9))(adapter)
    with pytest.raises(ParityError, match=r"(?s)answers differently when loaded afresh.*lora\.modules_to_save"):
        parity.check(adapter, str(model), None, texts, expected, 32)

    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(ParityError, match="does not load"):
        parity.check(adapter, str(model), None, texts, expected, 32)


def test_parity_fails_when_the_head_was_never_saved(tiny_model, adapter: Path) -> None:
    model = tiny_model("distilbert")
    texts = [text for text, _ in tiny.rows(6)]
    expected = _open(adapter, model).probabilities(texts)
    _config(lambda c: c.update(modules_to_save=None))(adapter)
    _tensors(lambda v: [v.pop(name) for name in list(v) if "classifier" in name])(adapter)

    with pytest.raises(ParityError, match=r"answers differently|does not load"):
        parity.check(adapter, str(model), None, texts, expected, 32)


@pytest.mark.usefixtures("new_interpreters")
def test_parity_imports_nothing_from_the_users_folder(
    tiny_model, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "calendar.py").write_text("raise SystemExit('imported from the working directory')")
    monkeypatch.chdir(tmp_path)
    texts = ["the film was good"]
    expected = _open(adapter, tiny_model("distilbert")).probabilities(texts)
    assert parity.check(adapter, str(tiny_model("distilbert")), None, texts, expected, 32) < 1e-5


@pytest.mark.parametrize(
    ("device", "fp16", "what"),
    [
        ("mps", False, "Apple MPS"),
        ("cuda:7", False, "usable CUDA"),
        ("cpu", True, "float16 is never used on cpu"),
    ],
)
def test_a_device_or_format_that_is_not_here_is_refused(device: str, fp16: bool, what: str) -> None:
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has MPS")
    with pytest.raises(ConfigError, match=what):
        modeling.choose(device, fp16=fp16)


def test_the_choice_of_device_says_why() -> None:
    chosen = modeling.choose("cpu", False)
    assert (chosen.device, chosen.precision) == ("cpu", "float32")
    assert "asked for" in chosen.reason
    assert "bfloat16 switched off" in chosen.reason
