"""The analysis for a terminal, at most 100 columns wide; Chinese counts double.

Neighbours: values says what there is to tell, page draws the same for a browser.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len, set_cell_size

from finetune30.data.analysis.values import Analysis, LabelFigures, LengthFigures, TellingWord
from finetune30.data.analysis.visible import visible

WIDTH = 100
_LABELS_LISTED = 30
_LABELS_TOLD = 8
_PAIRS_TOLD = 8
_NAME = 34
_BAR = 16
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_HEIGHTS = " ▁▂▃▄▅▆▇█"


def lines(analysis: Analysis) -> Iterator[str]:
    """The report line by line."""
    sizes = ", ".join(f"{split.rows:,} {role}" for role, split in analysis.splits.items())
    yield from _wrapped(f"{analysis.source}: {sizes} rows".split(" "))
    for note in analysis.notes:
        yield from _wrapped(note.split(" "))
    for part in (_labels, _lengths, _cuts, _telling, _comparisons, _together):
        told = list(part(analysis))
        if told:
            yield ""
            yield from told


def _labels(analysis: Analysis) -> Iterator[str]:
    balance = "balanced" if analysis.is_balanced else "not balanced"
    over = " over all splits" if len(analysis.splits) > 1 else ""
    yield f"LABELS: {balance}, {analysis.imbalance_ratio:g} to 1{over}; share of each split, median words in train"
    others = [role for role in analysis.splits if role != "train"]
    heads = "".join(f"{role:>11}" for role in others)
    yield f"  {'':{_NAME}} {'train':{_BAR}} {'':>7}{'rows':>9}{heads}{'words':>6}"
    shown = _shown(analysis, _LABELS_LISTED)
    train = analysis.splits["train"]
    most = max((train.share(label.name) for label in shown), default=0.0)
    for label in shown:
        share = train.share(label.name)
        shares = "".join(f"{analysis.splits[role].share(label.name):>11.1%}" for role in others)
        length = "" if label.median_words is None else f"{label.median_words:,}"
        yield (
            f"  {_cell(label.name, _NAME)} {_bar(share, most)} {share:>7.1%}{label.rows:>9,}{shares}{length:>6}"
        ).rstrip()
    yield from _left_out(analysis, len(shown))
    for role, split in analysis.splits.items():
        if split.unlabelled:
            yield f"  {split.unlabelled:,} {role} rows tell no label"


def _lengths(analysis: Analysis) -> Iterator[str]:
    yield "LENGTHS"
    for unit in ("characters", "words", "tokens"):
        figures: dict[str, LengthFigures | None] = {
            role: getattr(split, unit) for role, split in analysis.splits.items()
        }
        first = figures["train"]
        if first is None:
            yield "  tokens: not counted, there was no tokenizer"
            continue
        last = first.histogram.edges[-1]
        heads = "".join(f"{head:>9}" for head in ("mean", "median", "95 %", "99 %", "longest"))
        yield f"  {unit:<12}{heads}  rows by length, 0 to {last:,}+"
        for role, told in figures.items():
            if told is not None:
                numbers = "".join(f"{at:>9,}" for at in (told.median, told.p95, told.p99, told.longest))
                yield f"    {role:<10}{told.mean:>9,.1f}{numbers}  {_heights(told.histogram.counts)}".rstrip()


def _cuts(analysis: Analysis) -> Iterator[str]:
    train = analysis.splits["train"]
    if train.cut is None or train.tokens is None:
        return
    yield f"CUT: texts longer than data.max_length, now {analysis.max_length} tokens"
    yield "  max_length  " + "".join(f"{f'*{at}' if at == analysis.max_length else at:>9}" for at in train.cut)
    for role, split in analysis.splits.items():
        yield f"    {role:<10}" + "".join(f"{share:>9.1%}" for share in (split.cut or {}).values())
    yield f"  {train.tokens.p95} would cut at most 5 % of the train texts, {train.tokens.p99} at most 1 %"


def _telling(analysis: Analysis) -> Iterator[str]:
    sample = ", a sample" if analysis.counted_rows < analysis.splits["train"].rows else ""
    yield f"TELLING WORDS: rows with the word, in the label/elsewhere, of {analysis.counted_rows:,} train rows{sample}"
    shown = _shown(analysis, _LABELS_TOLD)
    for label in shown:
        yield f"  {_cell(label.name, WIDTH - 2).rstrip()}"
        yield from _wrapped(_words(label.words), "    ", gap="  ")
    yield from _left_out(analysis, len(shown))


def _comparisons(analysis: Analysis) -> Iterator[str]:
    for role, told in analysis.comparisons.items():
        yield f"{role.upper()} AGAINST TRAIN"
        if told.label_distance is not None:
            yield f"  label shares differ by {told.label_distance:.1%} (total variation distance)"
        longer = "longer" if told.length_difference > 0 else "shorter"
        yield f"  its texts are {abs(told.length_difference):,.1f} words {longer} in the mean"
        yield f"  train never has {told.unseen_words:.1%} of its distinct words, {told.unseen_occurrences:.1%} of all"
        yield "  its texts use more:" if told.words else "  no word stands out"
        if told.words:
            yield from _wrapped(_words(told.words), "    ", gap="  ")


def _together(analysis: Analysis) -> Iterator[str]:
    told = analysis.together
    if told is None:
        return
    yield f"SEVERAL LABELS A ROW: {told.mean:g} in the mean of the train rows"
    most = max(told.labels_per_row.values(), default=0)
    for size, rows in told.labels_per_row.items():
        yield f"  {size:>4} labels {_bar(rows, most)} {rows:>11,}"
    if told.pairs:
        yield "  most often together:"
    for pair in told.pairs[:_PAIRS_TOLD]:
        yield f"    {_cell(pair.one, _NAME)} + {_cell(pair.other, _NAME)} {pair.rows:>11,}"


def _shown(analysis: Analysis, limit: int) -> Sequence[LabelFigures]:
    """All labels in their order, or the most frequent ones."""
    return analysis.labels if len(analysis.labels) <= limit else analysis.by_count[:limit]


def _left_out(analysis: Analysis, shown: int) -> Iterator[str]:
    if shown < len(analysis.labels):
        yield f"  and {len(analysis.labels) - shown:,} labels with fewer rows (--json has all of them)"


def _words(words: Iterable[TellingWord]) -> list[str]:
    return [f"{told.word} {told.rows}/{told.elsewhere}" for told in words] or ["none"]


def _bar(value: float, most: float) -> str:
    """A bar of ``_BAR`` cells at ``most``; what is there is never drawn as nothing."""
    eighths = round(value / most * _BAR * 8) if most else 0
    eighths = max(eighths, 1 if value else 0)
    return f"{'█' * (eighths // 8)}{_EIGHTHS[eighths % 8].strip()}".ljust(_BAR)


def _heights(counts: Sequence[int]) -> str:
    most = max(counts, default=0)
    return "".join(_HEIGHTS[max(round(count / most * 8), 1 if count else 0)] for count in counts) if most else ""


def _cell(name: str, width: int) -> str:
    """The name in exactly this many columns."""
    name = visible(name)
    return set_cell_size(name, width - 1) + ("…" if cell_len(name) > width - 1 else " ")


def _wrapped(parts: Iterable[str], indent: str = "", gap: str = " ") -> Iterator[str]:
    """The parts in lines of at most ``WIDTH`` columns; a part longer than that is cut."""
    line = ""
    for part in parts:
        shown = _cell(part, WIDTH - len(indent)).rstrip()
        if line and cell_len(line + gap + shown) > WIDTH:
            yield line
            line = ""
        line = f"{line}{gap}{shown}" if line else indent + shown
    if line:
        yield line
