"""Files of LLaMA-Factory, Axolotl and AutoTrain, read as a configuration of ours.

What has a meaning here is mapped; everything else is left out by name, with the reason, so that
a reader sees what the imported run will not do. Neighbours: tools holds the tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from finetune30.config.aliases import Alias, ChangesNothingError, NotConvertibleError
from finetune30.config.faults import Place, printable, refuse, shown
from finetune30.config.layers import Setting, Settled
from finetune30.config.loading import checked, wrong_values
from finetune30.config.schema import ExperimentConfig
from finetune30.config.tools import AXOLOTL, LLAMA_FACTORY, OUR_SECTIONS, TOOLS, Tool, recognised
from finetune30.errors import ConfigError

if TYPE_CHECKING:
    from finetune30.config.reading import Document

FILL_IN = "./name-your-dataset-here.csv"


def import_config(path: Path) -> tuple[ExperimentConfig, list[str]]:
    """A configuration that does what another tool's file asks for, as far as it can be done here.

    Returns: The configuration, and one line for every key: what it was read as, or why it was left out.
    Raises: ConfigError if the file cannot be read or is of no known tool.
    """
    document = _read(path)
    tool = recognised(document.values)
    if tool is None:
        raise _unknown(document)
    settled = Settled(
        notes=[f"{path} is read as a file of {tool.name}; keys it leaves out have the defaults of finetune30"]
    )
    for name, value in document.values.items():
        if name in tool.flattened and isinstance(value, list) and len(value) > 1:
            settled.notes.append(f"{name} has {len(value)} entries; one is possible, the first is read")
    for name, value in _flat(document.values, tool):
        _place(tool, name, value, Place(document.source, _line(document, name)), settled)
    _finish(tool, settled)
    _leave_out_wrong(settled)
    if "data.dataset_name" not in settled.settings:
        # The default would train on the built-in reviews, which nobody asked for.
        settled.settings["data.dataset_name"] = Setting(FILL_IN, Place(document.source, None), "data.dataset_name")
        settled.notes.append(f"data.dataset_name: {FILL_IN} is to be filled in: the file names no dataset we can read")
    return checked(settled, str(path)), settled.notes


def _read(path: Path) -> Document:
    try:
        from finetune30.config.reading import read_file

        document = read_file(path)
    except ConfigError as fault:
        hint = fault.hint or "YAML is read strictly: write anchors, merged keys and tags out first"
        raise ConfigError(fault.message, where=fault.where, hint=hint) from fault
    if document.faults:
        refuse(document.faults, document.source)
    return document


def _unknown(document: Document) -> ConfigError:
    names = ", ".join(tool.name for tool in TOOLS)
    ours = OUR_SECTIONS & document.values.keys()
    return ConfigError(
        f"is not a file of {names}",
        where=document.source,
        hint="it looks like one of finetune30's own: use it as it is" if ours else None,
    )


def _flat(values: Mapping[str, object], tool: Tool, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Dotted names and values, with the mappings opened that the tool's table looks into."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if name in tool.flattened and isinstance(value, list) and value and isinstance(value[0], dict):
            value = value[0]
        if name in tool.flattened and isinstance(value, dict):
            yield from _flat(value, tool, f"{name}.")
        else:
            yield name, value


def _line(document: Document, name: str) -> int | None:
    return document.lines.get(tuple(name.split(".")))


def _place(tool: Tool, name: str, value: object, place: Place, into: Settled) -> None:
    """Put one key of the other tool where it belongs, and say so."""
    shown_name = printable(name)
    if value is None:
        return  # Axolotl's files list many keys with no value
    alias = tool.table.get(f"{name}={value}") or tool.table.get(name)
    if alias is None:
        into.notes.append(f"{shown_name} left out: has no meaning here")
        return
    try:
        converted = _converted(alias, value)
    except ChangesNothingError as why:
        into.notes.append(f"{shown_name} passed over: {why}")
        return
    except NotConvertibleError as why:
        into.notes.append(f"{shown_name} left out: {why}")
        return
    if alias.key in into.settings:
        into.notes.append(f"{shown_name} left out: {into.settings[alias.key].written} says it already")
        return
    into.settings[alias.key] = Setting(converted, place, shown_name)
    into.notes.append(f"{shown_name} read as {alias.key}: {_told(converted)}")


def _converted(alias: Alias, value: object) -> object:
    if isinstance(value, str) and "${" in value:
        raise NotConvertibleError("environment variables are not read")
    return alias.convert(value)


def _told(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_told, value[:8]))}{', ...' if len(value) > 8 else ''}]"
    return printable(value) if isinstance(value, str) else shown(value)


def _finish(tool: Tool, settled: Settled) -> None:
    """What a tool means without writing it."""
    settings = settled.settings
    rank = settings.get("lora.r")
    if tool is LLAMA_FACTORY and rank and isinstance(rank.value, int) and "lora.lora_alpha" not in settings:
        settings["lora.lora_alpha"] = Setting(2 * rank.value, rank.place, "lora_alpha")
        settled.notes.append(f"lora_alpha is not given, which means twice lora_rank: lora.lora_alpha: {2 * rank.value}")
    if "training.eval_steps" in settings and "training.eval_strategy" not in settings:
        if tool is AXOLOTL:
            settings["training.eval_strategy"] = Setting("steps", settings["training.eval_steps"].place, "eval_steps")
            settled.notes.append("eval_steps means training.eval_strategy: steps")
        else:
            _leave_out(settled, "training.eval_steps", "eval_strategy is not steps")


def _leave_out_wrong(settled: Settled) -> None:
    """Drop the values that our keys refuse: a file for a 70-billion-parameter model still imports."""
    while wrong := wrong_values(settled):
        for key, text in wrong.items():
            _leave_out(settled, key, text)


def _leave_out(settled: Settled, key: str, why: str) -> None:
    setting = settled.settings.pop(key)
    settled.notes = [note for note in settled.notes if not note.startswith(f"{setting.written} read as {key}:")]
    settled.notes.append(f"{setting.written} left out: {why}")
