"""How much the checks find: faults put into the built-in data, and what real data is known to hold."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from benchmarks.faults import Answer, builtin, measure_on
from tests.data_cases import configured
from tests.quality_cases import told

from finetune30.config import ExperimentConfig
from finetune30.data import find, load
from finetune30.data.fold import folded
from finetune30.data.quality import CHECKS, QualityReport, Verdict, inspect
from finetune30.modeling.language import languages_of
from finetune30.modeling.lengths import counter_of, longer_than
from finetune30.modeling.source import locate

SETS = {"builtin:reviews": {"en"}, "builtin:reviews-zh": {"zh"}}


@cache
def measured(name: str) -> dict[str, Answer]:
    return measure_on(builtin(name), ExperimentConfig(), SETS[name])


@pytest.mark.parametrize("check", [*CHECKS, "split_leak near"])
@pytest.mark.parametrize("name", SETS)
def test_of_the_faults_put_into_built_in_data_at_least_95_in_100_are_named_and_little_else(
    name: str, check: str
) -> None:
    answer = measured(name)[check]

    assert answer.rows > 0
    assert answer.recall >= 0.95
    assert answer.precision >= 0.95


@pytest.mark.parametrize("name", SETS)
def test_the_built_in_data_passes_its_own_checks(name: str) -> None:
    config = configured(name)
    source = locate("builtin:minilm")

    report = inspect(
        find(config),
        config,
        longer=longer_than(counter_of(source), config.data.max_length),
        spoken=languages_of(source),
    )

    # The built-in model speaks English.
    foreign = {"language"} if name.endswith("zh") else set()
    assert {one.name for one in report.checks if one.status is not Verdict.PASS} == foreign
    assert (report["language"].count, report.failed) == (len(report.dataset) if foreign else 0, [])
    assert inspect(find(config), config, spoken=SETS[name])["language"].count == 0


# Written in another way in mainland China; most of these Big5, the encoding of Traditional Chinese, lacks.
SIMPLIFIED = set(
    "这说们来个时会对学过还没让给谢间务员气质价钱买卖东车开关门问题电脑图书馆长难听写读话语样边运动爱乐观见现觉"
    "记认识应该总经济发达实际热闹宽阔净静点儿欢迎请笔纸张师医药厂场队阳阴陆险随隐飞马鸟鱼龙齐丰临为义习书两严丧"
)


def test_the_chinese_reviews_are_traditional_different_balanced_and_without_leak() -> None:
    rows = builtin("builtin:reviews-zh")
    texts = [text for of_split in rows.values() for text, _ in of_split]

    assert sorted(rows) == ["test", "train", "validation"]
    assert len(texts) >= 200
    assert len({folded(text) for text in texts}) == len(texts)
    assert not SIMPLIFIED & set("".join(texts))
    "".join(texts).encode("cp950")  # fails for what is no Traditional Chinese
    assert all(any("\u4e00" <= sign <= "\u9fff" for sign in text) for text in texts)
    for of_split in rows.values():
        labels = [label for _, label in of_split]
        assert {labels.count(label) for label in set(labels)} == {len(labels) // 2}
    assert len(load(configured("builtin:reviews-zh")).label_names) == 2


@cache
def on_shared(folder: Path) -> QualityReport:
    config = configured(folder)
    return inspect(find(config), config)


def later_rows(report: QualityReport) -> dict[str, int]:
    return {role: len(rows) for role, rows in report.dataset.by_split(report["duplicate"].rows).items()}


@pytest.mark.parametrize(
    ("name", "duplicates", "contradictory", "leaks"),
    [
        (
            "chnsenticorp", {"train": 1351, "validation": 22, "test": 22},
            {"train": 24, "validation": 1, "test": 1}, {"validation": 338, "test": 331},
        ),
        ("sms_spam", {"train": 334, "validation": 43, "test": 38}, {}, {}),
        ("airline_tweets", {"train": 186, "validation": 19, "test": 29}, {"train": 21, "validation": 3, "test": 3}, {}),
        ("banking77", {"train": 4, "test": 1}, {}, {"test": 7}),
        ("sst2", {"train": 371}, {"train": 5}, {"test": 2}),
        ("sst2_sent", {"train": 9}, {}, {"test": 2}),
    ],
)  # fmt: skip
def test_real_data_holds_what_its_index_says(
    shared_data: Path, name: str, duplicates: dict[str, int], contradictory: dict[str, int], leaks: dict[str, int]
) -> None:
    report = on_shared(shared_data / name)

    assert later_rows(report) == duplicates
    within = report["contradictory_label"].details["texts_by_split"]
    assert {role: count for role, count in within.items() if count and role != "across"} == contradictory
    assert report["split_leak"].details["splits"] == leaks
    assert report["split_leak"].count == sum(leaks.values())
    named = told(report, "split_leak")[2]
    assert {role for role in ("train", *leaks) if any(row.startswith(f"{role}:") for row in named)} == (
        {"train", *leaks} if leaks else set()
    )


def test_only_the_leaky_chinese_reviews_are_unfit_for_training(shared_data: Path) -> None:
    failed = {
        name: [one.name for one in on_shared(shared_data / name).failed]
        for name in ("chnsenticorp", "sms_spam", "airline_tweets", "banking77", "sst2_sent")
    }

    assert failed == {name: ["split_leak"] if name == "chnsenticorp" else [] for name in failed}
