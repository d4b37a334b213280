"""What checks of data say, in the language of who looks: the API says it in English.

In English it stays as it came. In Chinese each sentence that is known is said again with its figures; one of a newer
server stays English. Neighbours: ``quality`` and ``datasets.dataset`` show them; the words are ``words/findings.py``.
"""

from __future__ import annotations

import re

from finetune30.ui.shell import here, say

_N = r"([\d,.]+%?)"
_SENTENCES = tuple(
    (re.compile(pattern), key)
    for pattern, key in (
        (rf"(?P<count>{_N}) texts? (?:are|is) empty", "findings.empty"),
        (r"(?P<splits>[\w ]+) has no text at all", "findings.no_text"),
        (rf"(?P<count>{_N}) texts? (?:are|is) shorter than (?P<least>\d+) characters", "findings.short"),
        (rf"(?P<count>{_N}) texts? holds? no word", "findings.wordless"),
        (rf"(?P<count>{_N}) texts? (?:are|is) longer than (?P<most>{_N}) characters", "findings.long"),
        (rf"(?P<count>{_N}) texts? holds? HTML tags or entities", "findings.html"),
        (rf"(?P<count>{_N}) texts? holds? control, invisible or broken characters", "findings.control"),
        (rf"(?P<count>{_N}) rows? repeats? the text .*\((?P<exact>{_N}) to the letter\)", "findings.duplicate"),
        (rf"(?P<count>{_N}) rows? (?:are|is) nearly the text of an earlier row .*", "findings.near"),
        (rf"(?P<count>{_N}) texts? carr(?:y|ies) more than one label(?: \((?P<where>.*)\))?", "findings.torn"),
        (rf"(?P<count>{_N}) rows? spells? (?:their|its) label in another way: (?P<names>.*)", "findings.variant"),
        (r"labels with fewer than (?P<least>\d+) train rows: (?P<names>.*)", "findings.rare"),
        (rf"(?P<ratio>{_N}) to 1 in train: (?P<name>.*) has (?P<rows>{_N}) rows, (?P<names>.*)", "findings.uneven"),
        (rf"(?P<count>{_N}) (?P<split>\w+) rows? (?:have|has) no label", "findings.unlabelled"),
        (rf"(?P<count>{_N}) rows? (?:have|has) a label that looks like none", "findings.like_none"),
        (r"(?P<split>\w+) has labels that train lacks: (?P<names>.*)", "findings.strange"),
        (r"(?P<split>\w+) has no row of (?P<names>.*)", "findings.lacking"),
        (r"train has one label only: (?P<names>.*)", "findings.one_label"),
        (r"train has no label", "findings.no_label"),
        (r"(?P<rows>[\w ,]+) have a text that is in train, too", "findings.leak"),
        (rf"(?P<count>{_N}) more are nearly in train", "findings.leak_near"),
        (rf"(?P<count>{_N}) held-out rows? (?:have|has) nearly the text of a train row", "findings.leak_near"),
        (
            rf"(?P<count>{_N}) texts? \((?P<share>{_N})\) (?:are|is) longer than data\.max_length "
            r"\((?P<most>\d+) tokens\) and will be cut",
            "findings.cut",
        ),
        (r"not looked at: no tokenizer", "findings.no_tokenizer"),
        (r"(?:the model speaks|most texts are) (?P<known>.*); others: (?P<names>.*)", "findings.language"),
        (r"texts that look like they name people: (?P<names>.*)", "findings.people"),
        # What is to be done.
        (r"a run drops them \(data\.validation_rules\)", "findings.dropped"),
        (r"the former: a run drops them .*", "findings.dropped"),
        (r"data\.validation_rules\.remove_html: true strips it in a run", "findings.strip"),
        (r"finetune30 data validate --fix takes them out", "findings.fix_control"),
        (r"half of all texts have (?P<usual>[\d,]+) or fewer; is a quote missing\?", "findings.quote"),
        (r"is it the right file, and the right column\?", "findings.right_file"),
        (r"--fix keeps the first of those that agree on the label", "findings.fix_copies"),
        (r"look at a few; many copies of one text weigh like many opinions", "findings.look"),
        (r"decide which label is right; a model cannot learn both", "findings.decide"),
        (r"a run takes the white space off", "findings.spaces"),
        (r"these would be labels of their own; --fix makes one of them", "findings.fix_variant"),
        (r"too few to learn from: find more rows, or merge the label with another", "findings.few"),
        (r"judge by f1_macro, not accuracy; training\.class_weights: balanced helps", "findings.weigh"),
        (r"a run refuses these rows: fill, rename or remove them", "findings.fill"),
        (r"is it the right column\? a classifier needs two labels or more", "findings.right_column"),
        (r"scores on these rows are remembered, not learned; .*", "findings.remembered"),
        (r"raise data\.max_length if what decides stands at the end", "findings.raise_length"),
        (r"choose a base model of that language, or a multilingual one: model\.name", "findings.other_base"),
        (r"a model can give away what it was trained on; .*", "findings.give_away"),
        (r"a model learns such a word instead of the task; .*", "findings.word"),
        # Why a file is refused.
        (
            rf"(?P<count>{_N}) of (?P<of>{_N}) rows(?: in use)? (?:have|has) no label: (?P<places>.*)",
            "findings.missing",
        ),
        (r"fill column (?P<name>.*) or remove these rows", "findings.fill_column"),
        (r"the (?:split|file) has no rows", "findings.no_rows"),
        (r"only the names of the columns were found", "findings.add_rows"),
        (r"only the names of the columns are there: add a row for each text, .*", "findings.add_rows"),
        (r"no text column found.*", "findings.no_text_column"),
        (r"no label column found.*", "findings.no_label_column"),
    )
)


def said(text: str) -> str:
    """The sentence, as plain text; parts between semicolons are looked up one by one where the whole is not known."""
    if here().language == "en" or not text:
        return text
    whole = _known(text)
    if whole is not None:
        return whole
    parts = [(_known(part), part) for part in re.split(r"; |(?<=characters), ", text)]
    return "；".join(known or part for known, part in parts)


def _known(text: str) -> str | None:
    for pattern, key in _SENTENCES:
        found = pattern.fullmatch(text)
        if found:
            return say(key, **{name: _value(name, value or "") for name, value in found.groupdict().items()})
    return None


def _value(name: str, value: str) -> str:
    """A figure or name within the sentence; names of splits are words, too."""
    if name not in ("split", "splits", "rows", "where", "places"):
        return value
    from finetune30.ui.quality import say_split

    value = re.sub(r"\b(train|validation|test)\b", lambda split: say_split(split[0]), value)
    value = re.sub(r"\bline (?=\d)", f"{say('findings.line')} ", value)
    value = re.sub(r"\brow (?=\d)", f"{say('findings.row')} ", value)
    return re.sub(r" rows?\b", f" {say('findings.rows')}", value).replace(" and ", say("findings.and"))
