"""The engine computes what transformers and PEFT compute: loss, gradients, answers (numbers tests)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from finetune30 import modeling
from finetune30.modeling import engine
from finetune30.modeling.dropout import set_dropout
from finetune30.modeling.engine import attention, products
from finetune30.modeling.tokens import encode
from tests import tiny

LABELS = ("negative", "positive")
TARGETS = [None, "all-linear"]
# One rounding to bfloat16 is off by at most 2**-8 = 0.4 %. A gradient is rounded a few times on its way
# through the layers, with errors that mostly cancel: 1 % is two and a half roundings.
BFLOAT16_TOLERANCE = 0.01


def build(folder: Path | str, **changes: Any) -> nn.Module:
    """A stock PEFT model with an adapter that already does something, without any dropout."""
    config = tiny.experiment(folder, "builtin:reviews", **{"lora__lora_dropout": 0.0, **changes})
    base = modeling.inspect(str(folder))
    model = modeling.attach(modeling.load(base, LABELS, seed=1), base, config)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    torch.manual_seed(11)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    return model.train()


def batch_of(folder: Path | str, rows: int = 12) -> dict[str, Tensor]:
    """Texts of different lengths, so that some are padded."""
    tokens = encode(modeling.inspect(str(folder)).tokenizer, [t for t, _ in tiny.rows(rows)], 32)
    batch = tokens.batch(range(rows))
    assert "attention_mask" in batch
    return batch


def learn(model: nn.Module, batch: dict[str, Tensor], labels: Tensor) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of one step."""
    model.zero_grad()
    loss = functional.cross_entropy(model(**batch).logits.float(), labels)
    loss.backward()
    return float(loss.detach()), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def assert_stock_numbers(model: nn.Module, batch: dict[str, Tensor]) -> engine.Encoder:
    """Loss and gradients of one step in float32, before and after the engine takes over."""
    labels = torch.tensor([row % 3 % 2 for row in range(12)])
    loss, gradients = learn(model, batch, labels)

    encoder = engine.install(model, torch.float32)
    ours, our_gradients = learn(model, batch, labels)

    assert ours == pytest.approx(loss, abs=1e-5)
    assert our_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(our_gradients[name], gradient, atol=1e-5, rtol=1e-3)
        assert gradient.abs().max() > 0, name
    return encoder


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_loss_and_gradients_in_float32_are_those_of_stock_peft(
    tiny_model: Callable[[str], Path], architecture: str, targets: str | None
) -> None:
    folder = tiny_model(architecture)
    assert_stock_numbers(build(folder, lora__target_modules=targets), batch_of(folder))


@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_gradients_in_bfloat16_are_as_near_to_float32_as_its_rounding_allows(
    tiny_model: Callable[[str], Path], architecture: str, targets: str | None
) -> None:
    """All rows have one label, so that no gradient is a small difference of large ones."""
    folder = tiny_model(architecture)
    model = build(folder, lora__target_modules=targets)
    labels = torch.ones(12, dtype=torch.long)
    loss, exact = learn(model, batch_of(folder), labels)

    engine.install(model, torch.bfloat16)
    ours, rounded = learn(model, batch_of(folder), labels)

    assert ours == pytest.approx(loss, abs=BFLOAT16_TOLERANCE)
    of_exact, of_rounded = (torch.cat([g.flatten() for g in each.values()]) for each in (exact, rounded))
    assert (of_rounded - of_exact).norm() < BFLOAT16_TOLERANCE * of_exact.norm()


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_answers_without_gradients_are_stock_pefts(tiny_model: Callable[[str], Path], architecture: str) -> None:
    folder = tiny_model(architecture)
    model = build(folder).eval()
    with torch.inference_mode():
        expected = model(**batch_of(folder)).logits
        engine.install(model, torch.float32, trains=False)
        torch.testing.assert_close(model(**batch_of(folder)).logits, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rank", [1, 4, 64])
def test_any_rank_gives_stock_gradients(tiny_model: Callable[[str], Path], rank: int) -> None:
    folder = tiny_model("bert")
    changes = {"lora__r": rank, "lora__target_modules": ["query", "dense"], "lora__use_rslora": True}
    assert_stock_numbers(build(folder, **changes), batch_of(folder))


@pytest.mark.parametrize("only", [["query"], ["output.dense"], ["intermediate.dense"], ["attention.output.dense"]])
def test_adapters_on_one_place_alone_give_stock_gradients(tiny_model: Callable[[str], Path], only: list[str]) -> None:
    """Each ends the backward pass of the lowest layer somewhere else."""
    folder = tiny_model("bert")
    assert_stock_numbers(build(folder, lora__target_modules=only), batch_of(folder))


@pytest.mark.parametrize("layers", [[0], [1]])
def test_adapters_on_some_layers_alone_give_stock_gradients(
    tiny_model: Callable[[str], Path], layers: list[int]
) -> None:
    folder = tiny_model("distilbert")
    assert_stock_numbers(build(folder, lora__layers_to_transform=layers), batch_of(folder))


@pytest.mark.parametrize("rows", [1, 5])
def test_a_batch_of_one_text_and_a_batch_without_padding_give_stock_gradients(
    tiny_model: Callable[[str], Path], rows: int
) -> None:
    folder = tiny_model("roberta")
    tokens = encode(modeling.inspect(str(folder)).tokenizer, ["good film was it"] * rows, 32)
    batch = {**tokens.batch(range(rows))}
    model, labels = build(folder), torch.ones(rows, dtype=torch.long)
    loss, gradients = learn(model, batch, labels)

    engine.install(model, torch.float32)

    ours, our_gradients = learn(model, batch, labels)
    assert ours == pytest.approx(loss, abs=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(our_gradients[name], gradient, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("kind", ["electra", "camembert"])
def test_electra_and_camembert_are_computed_too(tmp_path: Path, kind: str) -> None:
    from transformers import AutoModel, CamembertConfig, ElectraConfig

    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = (
        ElectraConfig(vocab_size=40, embedding_size=16, pad_token_id=0, **shape)
        if kind == "electra"
        else CamembertConfig(vocab_size=40, pad_token_id=1, max_position_embeddings=66, **shape)
    )
    tiny._tokenizer("roberta" if kind == "camembert" else "bert").save_pretrained(tmp_path)
    torch.manual_seed(7)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    assert_stock_numbers(build(tmp_path, lora__target_modules="all-linear"), batch_of(tmp_path))


def test_dropout_of_the_adapter_acts_in_training_only_and_its_gradients_fit_its_mask(
    tiny_model: Callable[[str], Path],
) -> None:
    folder = tiny_model("bert")
    model = build(folder, lora__lora_dropout=0.5)
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout) and ".lora_dropout." in name:
            module.p = 0.5
    engine.install(model, torch.float32)
    batch, labels = batch_of(folder), torch.ones(12, dtype=torch.long)
    parameter = next(p for n, p in model.named_parameters() if "layer.1" in n and "value.lora_B" in n)

    def loss() -> float:
        torch.manual_seed(5)
        return learn(model, batch, labels)[0]

    first, gradient = loss(), parameter.grad.clone()
    step = gradient / gradient.norm()
    parameter.data += step
    above = loss()
    parameter.data -= 2 * step
    below = loss()
    parameter.data += step

    assert (above - below) / 2 == pytest.approx(float((gradient * step).sum()), rel=0.05)
    model.eval()
    assert learn(model, batch, labels)[0] == learn(model, batch, labels)[0] != first


def test_what_dropout_keeps_is_scaled_up_so_that_the_mean_stays(tiny_model: Callable[[str], Path]) -> None:
    model = build(tiny_model("bert"), lora__lora_dropout=0.5)
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout) and ".lora_dropout." in name:
            module.p = 0.5
    stack = engine.install(model, torch.float32).parts.layers[0].attention[0]

    _, thin = stack.forward(torch.ones(50, 32), learns=True)

    assert thin is not None
    assert set(thin.inputs.unique().tolist()) == {0.0, 2.0}
    assert thin.inputs.mean() == pytest.approx(1.0, abs=0.1)


def test_the_models_names_parameters_and_files_stay_as_they_are(
    tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    model = build(tiny_model("albert"))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modeling.save(model, tmp_path / "before")

    engine.install(model, torch.bfloat16)
    modeling.save(model, tmp_path / "after")

    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    for file in (tmp_path / "before").iterdir():
        assert (tmp_path / "after" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"lora__use_dora": True}, "more than plain LoRA"),
        ({"lora__bias": "all"}, "more than"),
        ({"lora__modules_to_save": ["LayerNorm"]}, "no plain layer norm"),
    ],
)
def test_what_the_engine_cannot_compute_is_refused_and_left_alone(
    tiny_model: Callable[[str], Path], changes: dict[str, Any], reason: str
) -> None:
    folder = tiny_model("bert")
    model = build(folder, **changes)
    expected = model(**batch_of(folder)).logits

    with pytest.raises(engine.NotKnown, match=reason):
        engine.install(model, torch.float32)

    assert torch.equal(model(**batch_of(folder)).logits, expected)


def test_dropout_in_the_base_is_refused_for_training_and_does_not_matter_for_answers(
    tiny_model: Callable[[str], Path],
) -> None:
    model = build(tiny_model("distilbert"))
    set_dropout(model, 0.1)

    with pytest.raises(engine.NotKnown, match=r"model\.dropout"):
        engine.install(model, torch.float32)
    engine.install(model.eval(), torch.float32, trains=False)


def test_dropout_is_set_in_the_base_and_neither_in_the_head_nor_in_the_adapter(
    tiny_model: Callable[[str], Path],
) -> None:
    config = tiny.experiment(tiny_model("bert"), "builtin:reviews", lora__lora_dropout=0.3)
    base = modeling.inspect(config.model.name)
    model = modeling.attach(modeling.load(base, LABELS, seed=1), base, config)
    own = {name: m.p for name, m in model.named_modules() if isinstance(m, nn.Dropout)}
    assert {0.1, 0.3} == set(own.values())

    set_dropout(model, None)
    assert {name: m.p for name, m in model.named_modules() if isinstance(m, nn.Dropout)} == own
    set_dropout(model, 0.0)

    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout):
            inside = ".bert." in name and ".lora_dropout." not in name
            assert module.p == (0.0 if inside else own[name]), name


def test_dropout_that_a_model_keeps_as_a_number_is_set_too(tmp_path: Path) -> None:
    from transformers import AutoModel, BartConfig

    tiny._tokenizer("bert").save_pretrained(tmp_path)
    shape = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    bart = BartConfig(vocab_size=40, d_model=32, encoder_ffn_dim=32, decoder_ffn_dim=32, pad_token_id=0, **shape)
    AutoModel.from_config(bart).save_pretrained(tmp_path)
    config = tiny.experiment(tmp_path, "builtin:reviews", lora__target_modules=["q_proj"], lora__lora_dropout=0.0)
    base = modeling.inspect(str(tmp_path))
    model = modeling.attach(modeling.load(base, LABELS, seed=1), base, config).train()

    set_dropout(model, 0.0)

    body = model.get_base_model().model
    ids = torch.tensor([[2, 4, 3]])
    first, second = body(input_ids=ids)[0], body(input_ids=ids)[0]
    assert torch.equal(first, second)


# Attention and products, each against another way to the same number.


def _heads(queries: int = 7) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(3)
    query, key, value = (torch.randn(5, 2, n, 8) for n in (queries, 7, 7))
    mask = torch.zeros(5, 1, 1, 7)
    mask[2, ..., 4:] = torch.finfo(torch.float32).min
    return query, key, value, mask


@pytest.mark.parametrize("queries", [7, 1])
@pytest.mark.parametrize("masked", [True, False])
def test_both_ways_of_attention_agree_forward_and_backward(queries: int, masked: bool) -> None:
    """``Fused`` is what CUDA and MPS take; torch's own kernel and autograd are the reference here."""
    query, key, value, mask = _heads(queries)
    gradient = torch.randn_like(query)
    results = []
    for way in (attention.Plain, attention.Fused):
        context, remembered = way.attend(query, key, value, mask if masked else None, learns=True)
        results.append((context, *remembered.backward(gradient)))

    for plain, fused in zip(*results, strict=True):
        torch.testing.assert_close(plain, fused, atol=1e-5, rtol=1e-4)


def test_attention_in_pieces_is_attention_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long texts: the weights of two rows at a time, computed again in the backward pass."""
    query, key, value, mask = _heads()
    gradient = torch.randn_like(query)
    whole, remembered = attention.attend(query, key, value, mask, learns=True)
    expected = remembered.backward(gradient)

    monkeypatch.setattr(attention, "_PIECE", 2 * 2 * 7 * 7)
    pieces, remembered = attention.attend(query, key, value, mask, learns=True)

    torch.testing.assert_close(pieces, whole)
    for ours, reference in zip(remembered.backward(gradient), expected, strict=True):
        torch.testing.assert_close(ours, reference)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packed_products_are_plain_products(dtype: torch.dtype) -> None:
    if not products.packs():
        pytest.skip("this torch packs no weights")
    torch.manual_seed(1)
    weight, bias = torch.randn(24, 16).to(dtype), torch.randn(24).to(dtype)
    inputs, gradient, onto = (torch.randn(*shape).to(dtype) for shape in ((9, 16), (9, 24), (9, 16)))
    packed, plain = products.Packed(weight, bias, trains=True), products.Plain(weight, bias)
    close = {"atol": 1e-5, "rtol": 1e-5} if dtype == torch.float32 else {"atol": 0.1, "rtol": 0.02}

    torch.testing.assert_close(packed.forward(inputs), plain.forward(inputs), **close)
    torch.testing.assert_close(packed.backward(gradient, None), plain.backward(gradient, None), **close)
    torch.testing.assert_close(packed.backward(gradient, onto), plain.backward(gradient, onto), **close)
    torch.testing.assert_close(products.thin_product(inputs, weight), inputs @ weight.t(), **close)


def test_the_whole_engine_computes_the_same_with_plain_products(
    tiny_model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a torch without packing, a GPU or Apple Silicon runs, on this processor."""
    folder = tiny_model("roberta")
    model = build(folder, lora__target_modules="all-linear")
    monkeypatch.setattr(products, "packs", lambda: False)
    monkeypatch.setattr(attention.Plain, "attend", attention.Fused.attend)

    encoder = assert_stock_numbers(model, batch_of(folder))

    assert isinstance(encoder.parts.layers[0].out.product, products.Plain)
