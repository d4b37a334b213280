"""A configuration as YAML that our own strict reader and every other YAML reader understand alike.

Neighbours: scalars says which texts need quotes here; PyYAML knows those of YAML 1.1.
"""

from __future__ import annotations

from typing import Any

import yaml

from finetune30.config.scalars import is_word


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _text(dumper: _Dumper, value: str) -> yaml.Node:
    # PyYAML leaves 1e-4 bare, for in YAML 1.1 it is text; bare, we and YAML 1.2 read a number.
    style = None if is_word(value) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(values: dict[str, Any]) -> str:
    """Block style, in the order given, UTF-8 text as it is."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
