"""Tiny real models and data for tests: built from configurations, nothing downloaded."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

GOOD = ["good", "fine", "lovely", "superb", "kind", "bright"]
BAD = ["bad", "awful", "dull", "rude", "broken", "grim"]
PLAIN = [
    "the",
    "film",
    "room",
    "was",
    "and",
    "very",
    "food",
    "book",
    "quite",
    "we",
    "found",
    "it",
    "a",
    "bit",
]
ARCHITECTURES = ("distilbert", "roberta", "albert", "bert")


def rows(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Distinct texts whose label is told by one word; lengths 3 to 14 words."""
    draw = random.Random(seed)
    made: dict[str, str] = {}
    while len(made) < count:
        label = "positive" if len(made) % 2 else "negative"
        words = draw.choices(PLAIN, k=draw.randint(2, 13))
        words.insert(draw.randrange(len(words) + 1), draw.choice(GOOD if label == "positive" else BAD))
        made.setdefault(" ".join(words), label)
    return list(made.items())


def write_dataset(folder: Path, train: int = 96, validation: int = 32, test: int = 0) -> Path:
    """A folder with train.csv, validation.csv and, if asked for, test.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    everything = rows(train + validation + test)
    parts = {
        "train": everything[:train],
        "validation": everything[train : train + validation],
        "test": everything[train + validation :],
    }
    for name, part in parts.items():
        if part:
            lines = ["text,label", *(f"{text},{label}" for text, label in part)]
            (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


SEVERAL = ("book", "film", "food")


def several_labels(train: int = 96, validation: int = 32) -> Any:
    """Splits whose rows have any of three labels, or none: each is a word of the text."""
    import numpy as np

    from finetune30.data import Split, Splits

    draw = random.Random(1)
    made: dict[str, list[int]] = {}
    while len(made) < train + validation:
        labels = [int(draw.random() < share) for share in (0.25, 0.5, 0.5)]
        words = draw.choices([word for word in PLAIN if word not in SEVERAL], k=draw.randint(2, 9))
        words += [word for there, word in zip(labels, SEVERAL, strict=True) if there]
        draw.shuffle(words)
        made.setdefault(" ".join(words), labels)
    texts, labels = list(made), np.array(list(made.values()))
    parts = [
        Split(texts[part], labels[part], np.arange(len(texts))[part]) for part in (slice(train), slice(train, None))
    ]
    return Splits(parts[0], parts[1], None, SEVERAL, "made by the test", (), {}, multi_label=True)


def pairs_of_texts(train: int = 192, validation: int = 64) -> Any:
    """Splits whose label the second text of a pair tells; the first says what it likes."""
    import numpy as np

    from finetune30.data import Split, Splits

    firsts, told = rows(train + validation, seed=2), rows(train + validation, seed=3)
    random.Random(4).shuffle(firsts)
    texts, pairs = [text for text, _ in firsts], [text for text, _ in told]
    labels = np.array([int(label == "positive") for _, label in told])
    parts = [
        Split(texts[part], labels[part], np.arange(len(texts))[part], pairs[part])
        for part in (slice(train), slice(train, None))
    ]
    return Splits(parts[0], parts[1], None, ("negative", "positive"), "made by the test", (), {})


def save_model(folder: Path, architecture: str) -> Path:
    """A two-layer encoder of the architecture with a word-level tokenizer, as save_pretrained writes it."""
    import torch
    from transformers import AutoModel

    torch.manual_seed(7)
    tokenizer = _tokenizer(architecture)
    model = AutoModel.from_config(_config(architecture, len(tokenizer), tokenizer.pad_token_id))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(architecture: str) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    # RoBERTa numbers positions from the padding id, which is 1 there.
    special = (
        ["[CLS]", "[PAD]", "[SEP]", "[UNK]"] if architecture == "roberta" else ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    )
    vocabulary = {word: i for i, word in enumerate([*special, *GOOD, *BAD, *PLAIN])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        # BERT alone tells the two texts of a pair apart by their types, as the real ones do.
        model_input_names=["input_ids", *(["token_type_ids"] if architecture == "bert" else []), "attention_mask"],
        model_max_length=64,
    )


def _config(architecture: str, vocabulary: int, pad: int) -> Any:
    from transformers import AlbertConfig, BertConfig, DistilBertConfig, RobertaConfig

    common = {"vocab_size": vocabulary, "pad_token_id": pad}
    encoder = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 66,
    }
    match architecture:
        case "distilbert":
            return DistilBertConfig(dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=64, **common)
        case "roberta":
            return RobertaConfig(**encoder, **common)
        case "albert":
            return AlbertConfig(embedding_size=16, **encoder, **common)
        case "bert":
            return BertConfig(**encoder, **common)
    raise ValueError(architecture)


def experiment(model: Path | str, data: Path | str, **changes: Any) -> Any:
    """A configuration of a short run; ``changes`` are dotted keys with ``__`` for the dot."""
    from finetune30.config import from_mapping

    values: dict[str, Any] = {
        "experiment_name": "tiny",
        "seed": 3,
        "model": {"name": str(model)},
        "lora": {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "target_modules": None},
        "data": {"dataset_name": str(data), "max_length": 32},
        "training": {
            "learning_rate": 5e-3,
            "num_train_epochs": 2,
            "per_device_train_batch_size": 16,
            "logging_steps": 1,
            "device": "cpu",
            "bf16": False,
        },
    }
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if name:
            values[section][name] = value
        else:
            values[section] = value
    return from_mapping(values)
