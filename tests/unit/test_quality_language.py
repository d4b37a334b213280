"""Texts in a language that the model, or the rest of the data, does not speak."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.quality_cases import reported, sound, told

from finetune30.scripts import script_of

SENTENCES = {
    "en": "The room was clean and the staff were very friendly to us.",
    "fr": "Le restaurant était vraiment décevant et trop cher pour nous dans la ville.",
    "de": "Das Hotel war leider sehr enttäuschend und viel zu teuer für uns.",
    "es": "La habitación fue una gran decepción y no vale el precio que pagamos por todo.",
    "it": "La camera era molto bella ma non mi è piaciuta la colazione che abbiamo avuto.",
    "zh": "房間很大，服務人員也非常親切。",
    "ja": "部屋はとても広くて、スタッフも親切でした。",
    "ko": "방이 아주 넓고 직원들도 친절했습니다.",
    "ru": "Номер был очень чистым, а персонал приветливым.",
    "uk": "Номер був дуже чистим, а персонал привітним.",
    "ar": "الغرفة كانت نظيفة جدا والموظفون لطفاء.",
    "fa": "اتاق بسیار تمیز بود و کارکنان مهربان بودند.",
    "th": "ห้องสะอาดมากและพนักงานใจดีมาก",
    "hi": "कमरा बहुत साफ था और कर्मचारी बहुत अच्छे थे।",
    "el": "Το δωμάτιο ήταν πολύ καθαρό και το προσωπικό ευγενικό.",
    "he": "החדר היה נקי מאוד והצוות היה אדיב.",
}
ANSWERS = {"uk": "ru", "fa": "ar"}  # the script is told, not the language


@pytest.mark.parametrize("code", sorted(SENTENCES))
def test_every_other_language_is_foreign_to_english(code: str) -> None:
    report = reported([*sound(30), (SENTENCES[code], "positive")], spoken={"en"})

    if code == "en":
        assert told(report, "language") == ("PASS", 0, [])
        return
    assert told(report, "language") == ("WARN", 1, ["train:30"])
    assert report["language"].details == {"expected": ["en"], "languages": {ANSWERS.get(code, code): 1}}


@pytest.mark.parametrize("code", sorted(SENTENCES))
def test_no_language_is_foreign_to_a_model_that_speaks_it(code: str) -> None:
    report = reported([(SENTENCES[code], "a"), (SENTENCES[code] * 3, "b")], [(SENTENCES[code], "a")], spoken={code})

    assert told(report, "language") == ("PASS", 0, [])


@pytest.mark.parametrize("code", ["zh", "ja", "ko", "ru", "th", "ar"])
def test_english_is_foreign_to_a_model_of_another_script(code: str) -> None:
    rows = [(SENTENCES[code], "a"), (SENTENCES["en"], "b"), ("OK", "a"), ("iPhone 15", "a")]

    assert told(reported(rows, spoken={code}), "language") == ("WARN", 1, ["train:1"])


@pytest.mark.parametrize(
    ("spoken", "text"),
    [
        ({"ro"}, "Camera a fost foarte curată și personalul a fost prietenos cu noi."),
        ({"en", "ro"}, "Camera a fost foarte curată și personalul a fost prietenos cu noi."),
        ({"bn"}, "ঘরটি খুব পরিষ্কার ছিল এবং কর্মীরা খুব ভালো ছিলেন।"),
        ({"ja"}, "最高"),
        ({"ja"}, "満室"),
        ({"zh"}, "鮮の味真的很好吃"),
        ({"zh"}, "強尼・戴普演得很好"),
        ({"zh"}, "這支iPhone的battery真的很不行"),
        ({"en"}, "฿500"),
        ({"en"}, "café naïve déjà vu"),
        ({"en"}, "Jürgen Müller and Zoë from São Paulo"),
        ({"en"}, "lol"),
        ({"en"}, "😀😀👍"),
        ({"en"}, "12345 !!! ???"),
        ({"en"}, ""),
        ({"en"}, "http://le.la/les/des?et=un&une=du @dans_la #pour_vous"),
        ({"en"}, "α and β are the constants of this equation"),
        ({"en"}, "tasty 寿司 at the corner shop"),
    ],
)
def test_what_cannot_be_told_or_is_only_sprinkled_in_is_not_foreign(spoken: set[str], text: str) -> None:
    assert told(reported([(text, "a")], spoken=spoken), "language") == ("PASS", 0, [])


@pytest.mark.parametrize(("code", "expected"), [("en", "en"), ("zh", "zh"), ("ja", "ja"), ("th", "th"), ("fr", "fr")])
def test_where_the_model_tells_nothing_the_language_of_most_texts_is_expected(code: str, expected: str) -> None:
    other = "zh" if code != "zh" else "en"
    rows = [(f"{SENTENCES[code]} {at}", "a") for at in range(20)]
    report = reported(rows, [(SENTENCES[other], "a"), rows[0]])

    assert told(report, "language") == ("WARN", 1, ["validation:0"])
    assert report["language"].details["expected"] == [expected]
    assert report["language"].found.startswith("most texts are ")


def test_more_than_half_of_the_rows_in_another_language_hint_at_another_model() -> None:
    rows = sound(20, name="builtin:reviews-zh")
    report = reported(rows, spoken={"en"})

    assert told(report, "language") == ("WARN", 20, [f"train:{at}" for at in range(20)])
    assert report["language"].found == "the model speaks English; others: Chinese 20"
    assert "model.name" in report["language"].hint
    assert reported([*sound(30), *rows[:3]], spoken={"en"})["language"].hint == ""


def test_many_doubtful_rows_are_judged_in_portions_and_named_in_order() -> None:
    foreign = [(f"{SENTENCES['de']} {SENTENCES['fr']}", "a")] * 1_100
    report = reported([*sound(10), *foreign, *sound(10, 10), ("Das ist ein sehr schönes Haus und nicht zu teuer", "a")],
                      spoken={"en"})  # fmt: skip

    assert report["language"].rows.tolist() == [*range(10, 1_110), 1_120]


def test_both_texts_of_a_pair_are_read() -> None:
    rows = [("Is it good?", SENTENCES["zh"] * 3, "a"), (SENTENCES["en"], "Yes, it was very good.", "a")]

    assert told(reported(rows, spoken={"en"}), "language") == ("WARN", 1, ["train:0"])


@given(st.text(max_size=30))
def test_a_script_is_told_of_any_text_without_failing(text: str) -> None:
    assert script_of(text) in {None, "latin", "ja", "ko", "zh", "ru", "ar", "th", "hi", "el", "he"}
