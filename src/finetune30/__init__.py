"""finetune30: train, keep, compare and serve LoRA text classifiers.

The law of the house, in one line; import-linter enforces it (``pyproject.toml``):

    cli > api, serving, worker, ui > client > jobs, pipeline, bench, reports, web, webhooks, examine
        > training, registry > data, modeling, experiments, access, monitoring
        > database, config, durable, scripts, standby, checkpoints > settings > errors

A room may import any room to its right, never one to its left; rooms between commas do not
know each other. ``ARCHITECTURE.md`` draws the picture and says where each new line belongs.
"""

__version__ = "0.1.0"
