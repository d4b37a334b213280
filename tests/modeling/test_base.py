"""Base models: found, refused when unsafe, and known before any data is read."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from finetune30 import modeling
from finetune30.errors import ConfigError, ModelError
from finetune30.modeling.source import locate
from tests import tiny


@pytest.fixture
def model(tiny_model, tmp_path: Path) -> Path:
    """A private copy of a tiny model, to damage."""
    return Path(shutil.copytree(tiny_model("distilbert"), tmp_path / "model"))


def _change(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(auto_map={"AutoConfig": "evil.Config"}),
        lambda c: c.update(trust_remote_code=True),
        lambda c: c.update(encoder={"auto_map": {"AutoModel": "evil.Model"}}),
        lambda c: c.update(parts=[{"deep": {"trust_remote_code": True}}]),
    ],
)
def test_s87_s89_a_model_that_wants_remote_code_is_refused(model: Path, change: Callable[[Any], None]) -> None:
    canary = model.parent / "canary"
    (model / "evil.py").write_text(f"open({str(canary)!r}, 'w')\nclass Config: pass\nclass Model: pass\n")
    _change(model / "config.json", change)

    with pytest.raises(ModelError, match="remote code not allowed"):
        modeling.inspect(str(model))
    assert not canary.exists()


def test_s87_a_tokenizer_that_wants_remote_code_is_refused(model: Path) -> None:
    _change(model / "tokenizer_config.json", lambda c: c.update(auto_map={"AutoTokenizer": ["evil.T", None]}))

    with pytest.raises(ModelError, match=r"remote code not allowed: tokenizer_config\.json"):
        modeling.inspect(str(model))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a" * 300,
        "http://evil.example/model",
        "file:///etc/passwd",
        "org/../../etc",
        "builtin:nothing",
        "a b",
        "x\0y",
        "org/model/extra",
    ],
)
def test_s88_a_name_that_is_no_model_is_refused(name: str) -> None:
    with pytest.raises(ModelError):
        locate(name)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "../nowhere"])
def test_s88_a_path_that_is_not_there_is_never_looked_up_on_the_hub(name: str) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        locate(name)


def test_s88_a_hub_model_that_is_not_here_is_one_clear_error_offline() -> None:
    with pytest.raises(ModelError, match=r"(?s)not on this machine.*builtin:minilm"):
        locate("distilbert-base-uncased")


def test_a_hub_model_in_the_cache_is_pinned_to_its_commit(
    tiny_model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / "models--acme--tiny"
    shutil.copytree(tiny_model("distilbert"), repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_OFFLINE", True)

    source = locate("acme/tiny")

    assert (source.public_name, source.revision) == ("acme/tiny", commit)
    assert locate("acme/tiny", commit).folder == source.folder


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt"])
def test_s90_pickled_weights_are_refused(model: Path, name: str) -> None:
    (model / "model.safetensors").rename(model / name)

    with pytest.raises(ModelError, match=rf"(?s)only pickled weights \({name}\).*safetensors"):
        modeling.inspect(str(model))


@pytest.mark.parametrize("shard", ["../outside.safetensors", "/etc/passwd", "pipe.bin", "gone.safetensors"])
def test_s94_a_sharded_index_stays_in_its_folder(model: Path, shard: str) -> None:
    (model / "model.safetensors").unlink()
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))

    with pytest.raises(ModelError, match=r"model\.safetensors\.index\.json names"):
        modeling.inspect(str(model))


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda b: b[:-10], "truncated"),
        (lambda b: struct.pack("<Q", 2**60) + b[8:], "header claims"),
        (lambda _: b"", "not a safetensors file"),
        (lambda _: b"\x80\x04not really", "header claims"),
        (lambda b: b[:8] + b"{" * 16 + b[24:], "header is not JSON"),
    ],
)
def test_s93_damaged_weights_are_refused_before_loading(
    model: Path, damage: Callable[[bytes], bytes], what: str
) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))

    with pytest.raises(ModelError, match=what):
        modeling.inspect(str(model))


def test_a_config_that_is_no_json_is_one_clear_error(model: Path) -> None:
    (model / "config.json").write_text("{broken")
    with pytest.raises(ModelError, match=r"config\.json cannot be read as JSON"):
        modeling.inspect(str(model))


def test_s89_a_base_folder_that_would_attach_an_adapter_in_silence_is_refused(model: Path) -> None:
    (model / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"attach in silence"):
        modeling.inspect(str(model))


def test_builtin_minilm_is_verified_and_names_its_upstream(tmp_path: Path) -> None:
    source = locate("builtin:minilm")

    assert source.public_name == "sentence-transformers/all-MiniLM-L6-v2"
    with pytest.raises(ModelError, match="has no revisions"):
        locate("builtin:minilm", "main")


@pytest.mark.parametrize(
    ("architecture", "names"),
    [
        ("distilbert", ["q_lin", "v_lin"]),
        ("roberta", ["query", "value"]),
        ("albert", ["query", "value"]),
        ("bert", ["query", "value"]),
    ],
)
def test_target_modules_are_filled_in_per_architecture(tiny_model, architecture: str, names: list[str]) -> None:
    folder = tiny_model(architecture)
    config = tiny.experiment(folder, "builtin:reviews")
    assert modeling.target_modules(modeling.inspect(str(folder)), config) == names


def test_wrong_target_modules_are_refused_with_the_models_real_names(tiny_model) -> None:
    folder = tiny_model("distilbert")
    config = tiny.experiment(folder, "builtin:reviews", lora__target_modules=["query"])

    with pytest.raises(ConfigError, match=r"(?s)no linear layer named query.*k_lin.*q_lin"):
        modeling.check_fits(modeling.inspect(str(folder)), config)


def test_all_linear_leaves_the_head_out(tiny_model) -> None:
    folder = tiny_model("distilbert")
    config = tiny.experiment(folder, "builtin:reviews", lora__target_modules="all-linear")

    names = modeling.target_modules(modeling.inspect(str(folder)), config)

    assert names == ["k_lin", "lin1", "lin2", "out_lin", "q_lin", "v_lin"]


@pytest.mark.parametrize(
    ("architecture", "longest"), [("distilbert", 64), ("roberta", 64), ("albert", 66), ("bert", 66)]
)
def test_s55_max_length_beyond_the_model_is_refused(tiny_model, architecture: str, longest: int) -> None:
    folder = tiny_model(architecture)
    base = modeling.inspect(str(folder))
    assert base.max_length == longest
    modeling.check_fits(base, tiny.experiment(folder, "builtin:reviews", data__max_length=longest))
    with pytest.raises(ConfigError, match=f"reads at most {longest} tokens"):
        modeling.check_fits(base, tiny.experiment(folder, "builtin:reviews", data__max_length=longest + 1))


@pytest.mark.parametrize(
    ("architecture", "new"),
    [
        ("distilbert", ("pre_classifier", "classifier")),
        ("roberta", ("classifier",)),
        ("albert", ("classifier",)),
        ("bert", ("classifier",)),
    ],
)
def test_newly_initialised_layers_are_found_from_the_loading_report(
    tiny_model, architecture: str, new: tuple[str, ...]
) -> None:
    base = modeling.inspect(str(tiny_model(architecture)))
    assert modeling.load(base, ("no", "yes"), seed=1).new_modules == new


def test_a_pooler_the_checkpoint_lacks_is_trained_and_saved_too(tiny_model, tmp_path: Path) -> None:
    """peft#2171: DeBERTa's pooler was new, not saved, and predictions were random after a reload."""
    import torch
    from transformers import DebertaV2Config, DebertaV2Model

    torch.manual_seed(7)
    tiny_config = DebertaV2Config(
        vocab_size=40,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        pooler_hidden_size=32,
        type_vocab_size=0,
    )
    shutil.copytree(tiny_model("bert"), tmp_path / "deberta")
    (tmp_path / "deberta" / "model.safetensors").unlink()
    DebertaV2Model(tiny_config).save_pretrained(tmp_path / "deberta")
    config = tiny.experiment(tmp_path / "deberta", "builtin:reviews")
    base = modeling.inspect(config.model.name)
    loaded = modeling.load(base, ("no", "yes"), seed=1)
    assert loaded.new_modules == ("pooler", "classifier")

    modeling.save(modeling.attach(loaded, base, config), tmp_path / "saved")

    assert any(".pooler." in name for name in load_file(tmp_path / "saved" / "adapter_model.safetensors"))


def test_label_names_travel_with_the_model_and_the_seed_decides_the_head(tiny_model) -> None:
    base = modeling.inspect(str(tiny_model("bert")))
    first, same, other = (modeling.load(base, ("nein", "ja", "很好"), seed=s).model for s in (1, 1, 2))

    assert first.config.id2label == {0: "nein", 1: "ja", 2: "很好"}
    assert first.classifier.weight.equal(same.classifier.weight)
    assert not first.classifier.weight.equal(other.classifier.weight)
