"""Rows in a language that the model, or the rest of the data, does not speak.

Scripts tell most languages apart. Between languages in Latin letters ``lingua`` points at candidates
(its small models: the large ones need 350 MB and seconds to load), and function words must agree:
names and exclamations look foreign, "le … dans la" is. Neighbours: ``modeling.language`` knows what
a model was trained on; this room knows no models.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Collection, Sequence
from functools import cache
from importlib import resources

import numpy as np

from finetune30.data.quality.report import Check, check
from finetune30.data.quality.rows import Dataset
from finetune30.scripts import LATIN, LATIN_LETTER, NAMES, script_of, scripts_of

_WORD = re.compile(r"[^\W\d_]+")
_NOISE = re.compile(r"https?://\S+|www\.\S+|[@#]\w+|&\w+;|\d+")
_CODES = ("latin", *NAMES)
_KANJI_ALONE = 10  # so many characters of Japanese may do without kana
_LETTERS = 20
_UNLIKELY, _IMPOSSIBLE = 0.2, 0.01
_AT_ONCE = 1_000
_READ, _JUDGED = 300, 160  # characters of a text: enough to tell, and a book takes no longer than a sentence
_SHARE = 0.12  # of the words: every third or so is a function word in a sentence, few are by chance
_SAMPLE = 2_000
_SEED = 30


def check_language(data: Dataset, spoken: Collection[str] | None) -> Check:
    """The check ``language``.

    Args:
        spoken: Codes of the languages the model was trained on; None where that is not known (or all):
            then the most frequent language of a sample of the texts is expected.
    """
    expected = set(spoken) if spoken is not None else _majority(data)
    familiar, known = scripts_of(expected), [code for code in LATIN if code in expected]
    if "latin" in familiar:
        known = []
    rows, codes = array("q"), array("b")
    doubtful: dict[int, str] = {}
    for row, whole in enumerate(data.texts()):
        text = whole[:_READ]
        script = script_of(text)
        if script == "latin" and known:
            if _looks_foreign(text, known):
                doubtful[row] = _NOISE.sub(" ", text[:_JUDGED])
        elif script == "zh" and "ja" in familiar and len(text) <= _KANJI_ALONE:
            continue
        elif script is not None and script not in familiar:
            rows.append(row)
            codes.append(_CODES.index(script))
        if len(doubtful) >= _AT_ONCE:
            _judge(doubtful, known, rows, codes)
    _judge(doubtful, known, rows, codes)
    counts = Counter({_CODES[code]: int(count) for code, count in enumerate(np.bincount(codes)) if count})
    listed = ", ".join(f"{NAMES.get(code, 'Latin letters')} {count:,}" for code, count in counts.most_common(4))
    wanted = " or ".join(sorted(NAMES.get(code, code) for code in expected)) or "anything"
    whose = "the model speaks" if spoken is not None else "most texts are"
    much = len(rows) > len(data) / 2
    hint = "choose a base model of that language, or a multilingual one: model.name" if much else ""
    found = np.sort(np.array(rows, np.int64))
    return check(
        "language", found, f"{whose} {wanted}; others: {listed}", hint,
        expected=sorted(expected), languages=dict(counts),
    )  # fmt: skip


def _looks_foreign(text: str, known: Sequence[str]) -> bool:
    """Whether a text in Latin letters holds more function words of another language than of the known ones."""
    counts = _function_words(text)
    own, most = max(counts[code] for code in known), max(counts.values(), default=0)
    if most <= own or most < _SHARE * (text.count(" ") + 1):
        return False
    return len(LATIN_LETTER.findall(_NOISE.sub(" ", text))) >= _LETTERS


def _judge(doubtful: dict[int, str], known: Sequence[str], rows: array[int], codes: array[int]) -> None:
    """Keep of the doubtful texts those that the detector, too, takes for foreign; empties the doubtful."""
    for (row, text), confidence in zip(doubtful.items(), _confidences(list(doubtful.values())), strict=True):
        guess, familiar = _guess(confidence), sum(confidence[code] for code in known)
        counts = _function_words(text)
        foreign, own = counts[guess], max(counts[code] for code in known)
        sure = foreign > 1 or familiar < _IMPOSSIBLE
        if guess not in known and familiar < _UNLIKELY and foreign > own and sure:
            rows.append(row)
            codes.append(_CODES.index(guess))
    doubtful.clear()


def _majority(data: Dataset) -> set[str]:
    rows = np.sort(np.random.default_rng(_SEED).permutation(len(data))[:_SAMPLE])
    texts = data.texts_at(rows)
    scripts = Counter(script for script in map(script_of, texts) if script is not None)
    if not scripts:
        return set()
    most = scripts.most_common(1)[0][0]
    if most != "latin":
        return {most}
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(_function_words(text))
    return {counts.most_common(1)[0][0] if counts else "en"}


def _function_words(text: str) -> Counter[str]:
    """How many different function words of each language a text holds."""
    counts: Counter[str] = Counter()
    for word in set(_WORD.findall(text.casefold())):
        for code in _languages_by_word().get(word, ()):
            counts[code] += 1
    return counts


@cache
def _languages_by_word() -> dict[str, list[str]]:
    """Function words, and the languages each belongs to."""
    found: dict[str, list[str]] = {}
    for line in resources.files(__package__).joinpath("function_words.txt").read_text("utf-8").splitlines():
        code, *words = line.split()
        for word in words:
            found.setdefault(word, []).append(code)
    return found


def _guess(confidence: dict[str, float]) -> str:
    return max(confidence, key=confidence.__getitem__)


def _confidences(texts: Sequence[str]) -> list[dict[str, float]]:
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    if not texts:
        return []
    isos = [getattr(IsoCode639_1, code.upper()) for code in LATIN]
    detector = LanguageDetectorBuilder.from_iso_codes_639_1(*isos).with_low_accuracy_mode().build()
    values = detector.compute_language_confidence_values_in_parallel(list(texts))
    return [{value.language.iso_code_639_1.name.lower(): value.value for value in one} for one in values]
