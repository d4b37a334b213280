"""``python -m finetune30``: the same as the ``finetune30`` command."""

from finetune30.cli import main

main()
