"""Command-line overrides: ``--set training.learning_rate=1e-4``.

The value is read like an unquoted YAML scalar, so that ``=``, ``:`` and ``#`` need no care; it
may be a list or a mapping in brackets. Where only text can stand, digits are text.
Neighbours: layers puts these values over those of the file.
"""

from __future__ import annotations

from finetune30.config.aliases import ALIASES
from finetune30.config.faults import printable
from finetune30.config.keys import keys
from finetune30.config.scalars import plain
from finetune30.errors import ConfigError

SOURCE = "--set"


def read_override(text: str) -> tuple[tuple[str, ...], object]:
    """The key's path and its value.

    Raises: ConfigError unless ``text`` is KEY=VALUE and VALUE can be read.
    """
    from finetune30.config.reading import LARGEST_BYTES

    name, equals, written = text.partition("=")
    name, written = name.strip(), written.strip()
    where = f"{SOURCE} {printable(text)}"
    if not equals or not name:
        raise ConfigError("is not KEY=VALUE", where=where, hint="for example: --set lora.r=16")
    if not written:
        raise ConfigError("has no value after the =", where=where, hint=f"write {name}=null for none")
    if len(written.encode("utf-8", "replace")) > LARGEST_BYTES:
        raise ConfigError("is too long", where=where)
    return tuple(name.split(".")), _value(name, written, where)


def _value(name: str, written: str, where: str) -> object:
    if written[0] in "[{\"'":
        if "\n" in written:
            raise ConfigError("has a line break, expected one line", where=where)
        from finetune30.config.reading import read_text

        return read_text(f"value: {written}", where).values.get("value")
    value = plain(written)
    key = keys().get(ALIASES[name].key if name in ALIASES else name)
    if value is None:
        return None
    # In a shell, quotes are hard to hand on: 2024 as a name, or no as a label's column, is text.
    text_wanted = key is not None and key.is_text
    return written if text_wanted or isinstance(value, str) else value
