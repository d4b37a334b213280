"""Faults put into clean data, 5 % of the rows for each kind, and how many of them each check names.

Recall: of the rows made faulty, how many the check names. Precision: of the rows it names, how many
were made faulty. Public datasets are freed of repeated texts first; what else they really hold of a
kind (near copies, long texts, telephone numbers) is no mistake of the check and is left out. A test asks the
same of the built-in data.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from finetune30.config import ExperimentConfig
from finetune30.data.prepare import Found
from finetune30.data.quality import QualityReport, inspect
from finetune30.data.roles import Role
from finetune30.data.sources import find
from finetune30.data.table import Columns, Table, TableWriter

SHARE = 0.05
Rows = dict[Role, list[tuple[str, str]]]  # text and label of each row of each split
Wrong = set[str]  # names such as train:17, or of labels where a check is about labels
REAL = ("near_duplicate", "split_leak near", "personal_data", "html", "truncation", "imbalance", "language")

_STARTS = {
    "fr": ("Le restaurant", "La chambre d'hôtel", "Ce film", "Notre guide", "Le service client", "Cette application"),
    "de": ("Das Restaurant", "Das Hotelzimmer", "Der Film", "Unser Reiseleiter", "Der Kundendienst", "Die Werkstatt"),
    "es": ("El restaurante", "La habitación", "Esta película", "Nuestro guía", "El servicio técnico", "La aplicación"),
}
_ENDS = {
    "fr": ("était vraiment décevant et trop cher pour nous", "est magnifique, je le recommande à tous mes amis",
           "ne vaut pas le prix que nous avons payé", "nous a laissé un très bon souvenir de la ville"),
    "de": ("war leider sehr enttäuschend und viel zu teuer", "ist wunderbar, ich empfehle es allen meinen Freunden",
           "war nicht so gut wie in der Beschreibung", "hat uns mit viel Geduld und Humor geholfen"),
    "es": ("fue una gran decepción y costó demasiado dinero", "es una maravilla, lo recomiendo a todos mis amigos",
           "no vale el precio que pagamos por todo esto", "nos dejó un recuerdo muy bueno de la ciudad"),
}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """How well a check did."""

    rows: int
    recall: float
    precision: float


class Injector:
    """Makes faults with a seed, so that every run makes the same."""

    def __init__(self, clean: Rows, seed: int = 30) -> None:
        self.clean = clean
        self.draw = random.Random(seed)  # noqa: S311 - nothing secret is drawn
        self.labels = sorted({label for rows in clean.values() for _, label in rows})
        self.dense = sum(text[:1] >= "\u2e80" for text, _ in clean["train"]) > len(clean["train"]) / 2

    def copy(self) -> Rows:
        """The clean rows again."""
        return {role: list(rows) for role, rows in self.clean.items()}

    def changed(self, change: Callable[[str], str]) -> tuple[Rows, Wrong]:
        """A change to 5 % of the texts of every split."""
        rows, wrong = self.copy(), set()
        for role in rows:
            for at in self._some(len(rows[role])):
                text, label = rows[role][at]
                rows[role][at] = (change(text), label)
                wrong.add(f"{role}:{at}")
        return rows, wrong

    def appended(self, change: Callable[[str], str]) -> tuple[Rows, Wrong]:
        """Changed copies of 5 % of the rows of every split, at its end."""
        rows, wrong = self.copy(), set()
        for role in rows:
            for at in self._some(len(self.clean[role])):
                text, label = rows[role][at]
                wrong.add(f"{role}:{len(rows[role])}")
                rows[role].append((change(text), label))
        return rows, wrong

    def relabelled(self, rename: Callable[[str], str], roles: tuple[Role, ...]) -> tuple[Rows, Wrong]:
        """Another label for 5 % of the rows of some splits."""
        rows, wrong = self.copy(), set()
        for role in roles:
            for at in self._some(len(rows[role])):
                text, label = rows[role][at]
                rows[role][at] = (text, rename(label))
                wrong.add(f"{role}:{at}")
        return rows, wrong

    def contradicting(self) -> tuple[Rows, Wrong]:
        """Copies of 5 % of the train rows under another label."""
        rows, wrong = self.copy(), set()
        for at in self._some(len(self.clean["train"])):
            text, label = rows["train"][at]
            wrong |= {f"train:{at}", f"train:{len(rows['train'])}"}
            rows["train"].append((self.fold(text), self.draw.choice([one for one in self.labels if one != label])))
        return rows, wrong

    def leaking(self, change: Callable[[str], str]) -> tuple[Rows, Wrong]:
        """Train texts, changed, in place of 5 % of the held-out rows."""
        rows, wrong = self.copy(), set()
        held_out = [(role, at) for role in rows if role != "train" for at in range(len(rows[role]))]
        for role, at in self.draw.sample(held_out, max(1, round(SHARE * len(held_out)))):
            source = self.draw.randrange(len(rows["train"]))
            rows[role][at] = (change(rows["train"][source][0]), rows["train"][source][1])
            wrong |= {f"{role}:{at}", f"train:{source}"}
        return rows, wrong

    def giveaway(self) -> tuple[Rows, Wrong]:
        """A word that only one label carries, in as many train rows as 5 % of all."""
        rows, wrong = self.copy(), set()
        of_label = [at for at, (_, label) in enumerate(rows["train"]) if label == self.labels[0]]
        for at in self.draw.sample(of_label, min(len(of_label), round(SHARE * len(rows["train"])) + 1)):
            text, label = rows["train"][at]
            words = text.split(" ")
            words.insert(self.draw.randrange(len(words) + 1), "zq7")
            rows["train"][at] = (" ".join(words), label)
            wrong.add(f"train:{at}")
        return rows, wrong

    def rare(self) -> tuple[Rows, Wrong]:
        """5 % of the train rows under new labels of one to seven rows each."""
        rows, wrong = self.copy(), set()
        places, number = self._some(len(rows["train"])), 0
        while places:
            number += 1
            for at in [places.pop() for _ in range(min(len(places), self.draw.randint(1, 7)))]:
                rows["train"][at] = (rows["train"][at][0], f"rare {number}")
                wrong.add(f"train:{at}")
        return rows, wrong

    def thinned(self) -> tuple[Rows, Wrong]:
        """One label of ten rows in every hundred; what is wrong is the label."""
        rows = self.copy()
        scarce = self.labels[-1]
        keep = max(8, len(rows["train"]) // len(self.labels) // 10)
        of_label = [row for row in rows["train"] if row[1] == scarce][:keep]
        rows["train"] = [row for row in rows["train"] if row[1] != scarce] + of_label
        return rows, {scarce}

    def fold(self, text: str) -> str:
        """The same text in another case, with other white space."""
        if self.dense:
            return f"\u3000{text}  "
        return self.draw.choice((text.upper(), text.title(), f"  {text} ", text.replace(" ", "  "), text))

    def nearly(self, text: str) -> str:
        """The same text with one small change, such as people and scrapers make."""
        if self.dense:
            at = self.draw.randrange(1, len(text) - 1)
            return self.draw.choice((text[:at] + "了" + text[at + 1 :], text[:at] + text[at + 1 :], text + "真的"))
        words = text.split()
        at = self.draw.randrange(len(words))
        kind = self.draw.randrange(4)
        if kind == 0 and len(words) > 8:
            words[at] = "something"
        elif kind == 1 and len(words) > 8:
            del words[at]
        elif kind == 2:
            words[at] = words[at][:1] + words[at][2:] if len(words[at]) > 3 else f"{words[at]}s"
        else:
            return f"{text} really!!"
        return " ".join(words)

    def marked_up(self, text: str) -> str:
        """With tags or entities in it."""
        return self.draw.choice(
            (f"<p>{text}</p>", f"{text}<br/>", f"<b>{text[:5]}</b>{text[5:]}", f"{text} &amp; more")
        )

    def controlled(self, text: str) -> str:
        """With a control, invisible or broken character somewhere."""
        at = self.draw.randrange(len(text) + 1)
        return text[:at] + self.draw.choice("\x00\x07\x1b\x7f\x85\x9d\ufffd\ufeff\u200b\u202e") + text[at:]

    def named(self, text: str) -> str:
        """With an address, a telephone or a card number."""
        digit = lambda: self.draw.randrange(10)  # noqa: E731
        number = f"{digit()}{digit()}{digit()}"
        return f"{text} " + self.draw.choice(
            (
                f"write to ann{number}@example.org", f"call +886 912 345 {number}", f"call 02-2345-6{number}",
                f"Tel. (415) 555-2{number}", "card 4111 1111 1111 1111", "card 5500-0000-0000-0004",
            )
        )  # fmt: skip

    def foreign(self, _: str) -> str:
        """A sentence of another language."""
        if self.dense:
            return self.draw.choice(self.english)
        code = self.draw.choice(sorted(_STARTS))
        return f"{self.draw.choice(_STARTS[code])} {self.draw.choice(_ENDS[code])}."

    english = (
        "The room was clean and the staff were friendly to us.",
        "I would not buy this phone again because of its battery.",
        "What a wonderful film, we laughed and cried with the actors.",
    )

    def _some(self, count: int) -> list[int]:
        return self.draw.sample(range(count), max(1, round(SHARE * count)))


def cases(injector: Injector) -> dict[str, tuple[Rows, Wrong]]:
    """For each check the data with its kind of fault, and what is wrong in it."""
    draw = injector.draw
    return {
        "empty": injector.changed(lambda _: draw.choice(("", " ", "\n\t", "\u3000"))),
        "too_short": injector.changed(lambda _: draw.choice(("a", "!!", "ok", ".", "x1", "???"))),
        "too_long": injector.changed(lambda text: " ".join([text] * (1 + 20_000 // len(text)))),
        "html": injector.changed(injector.marked_up),
        "control_chars": injector.changed(injector.controlled),
        "duplicate": injector.appended(injector.fold),
        "near_duplicate": injector.appended(injector.nearly),
        "contradictory_label": injector.contradicting(),
        "label_variant": injector.relabelled(lambda name: _varied(name, draw), ("train",)),
        "rare_class": injector.rare(),
        "imbalance": injector.thinned(),
        "label_set": injector.relabelled(lambda _: "unheard of", ("validation",)),
        "split_leak": injector.leaking(injector.fold),
        "split_leak near": injector.leaking(injector.nearly),
        "truncation": injector.changed(lambda text: " ".join([text] * (1 + 1_500 // len(text)))),
        "language": injector.changed(injector.foreign),
        "personal_data": injector.changed(injector.named),
        "shortcut": injector.giveaway(),
    }


def _varied(name: str, draw: random.Random) -> str:
    """Another spelling of a label: case where it has one, else spaces."""
    spellings = [f" {name}", f"{name} ", f"{name}\r", name.upper(), name.title()]
    return draw.choice([one for one in spellings if one != name])


def measure_on(clean: Rows, config: ExperimentConfig, spoken: set[str]) -> dict[str, Answer]:
    """Recall and precision of each check on data that was clean."""
    from finetune30 import modeling
    from finetune30.modeling.lengths import longer_than

    longer = longer_than(modeling.inspect("builtin:minilm").tokenizer, config.data.max_length)

    def report(rows: Rows) -> QualityReport:
        return inspect(Found("rows", _tables(rows)), config, longer=longer, spoken=spoken)

    injector = Injector(clean)
    before = report(clean)
    answers = {}
    for name, (rows, wrong) in cases(injector).items():
        after = report(rows)
        named = _named(after, name)
        if name in REAL:
            named -= _named(before, name) - wrong
        answers[name] = Answer(
            len(wrong), len(named & wrong) / len(wrong), len(named & wrong) / len(named) if named else 0.0
        )
    return answers


def _named(report: QualityReport, name: str) -> Wrong:
    if name == "imbalance":
        return set(report["imbalance"].details.get("labels", ()))
    if name == "split_leak near":
        return set(report.dataset.names(report["split_leak"].details["near"].rows))
    return set(report.dataset.names(report[name].rows))


def _tables(rows: Rows) -> dict[Role, Table]:
    tables: dict[Role, Table] = {}
    for role, of_role in rows.items():
        writer = TableWriter(role, Columns("text", "label"), has_lines=False)
        for text, label in of_role:
            writer.add(text, label)
        tables[role] = writer.finish()
    return tables


def builtin(name: str) -> Rows:
    """A built-in dataset as rows."""
    config = ExperimentConfig.model_validate({"data": {"dataset_name": name}})
    found = find(config)
    return {role: list(zip(table.texts, map(str, table.labels), strict=True)) for role, table in found.tables.items()}


def shared(name: str, files: tuple[str, str, str], limit: int) -> Rows | None:
    """A shared dataset as rows, at most so many a split; None where it is absent."""
    folder = Path(os.environ.get("FINETUNE30_DATA", "../shared/data")) / name
    if not folder.is_dir():
        return None
    roles: tuple[Role, ...] = ("train", "validation", "test")
    found: Rows = {}
    seen: set[str] = set()
    for role, file in reversed(list(zip(roles, files, strict=True))):
        lines = (folder / f"{file}.tsv").read_text(encoding="utf-8").removesuffix("\n").split("\n")[1 : limit + 1]
        rows = {" ".join(text.casefold().split()): (text, label) for text, label in (x.split("\t") for x in lines)}
        found[role] = [row for folded, row in rows.items() if folded not in seen]
        seen |= set(rows)
    return {role: found[role] for role in roles}


def measure() -> dict[str, dict[str, dict[str, float]]]:
    """The table, for each dataset."""
    sets = {
        "builtin:reviews": (builtin("builtin:reviews"), {"en"}),
        "builtin:reviews-zh": (builtin("builtin:reviews-zh"), {"zh"}),
        "sst2_sent": (shared("sst2_sent", ("train", "dev", "test"), 10_000), {"en"}),
        "banking77": (shared("banking77", ("train", "dev", "test"), 10_000), {"en"}),
        "chnsenticorp clean": (shared("chnsenticorp", ("train", "dev_clean", "test_clean"), 10_000), {"zh"}),
    }
    results: dict[str, dict[str, dict[str, float]]] = {}
    for name, (rows, spoken) in sets.items():
        if rows is None:
            print(f"{name}: not here, skipped")
            continue
        found = measure_on(rows, ExperimentConfig(), spoken)
        results[name] = {check: vars(answer) for check, answer in found.items()}
        print(f"\n{name}\n\n| check | faulty | recall | precision |\n|---|---|---|---|")
        for check, answer in found.items():
            print(f"| {check} | {answer.rows:,} | {answer.recall:.3f} | {answer.precision:.3f} |", flush=True)
    return results
