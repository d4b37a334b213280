"""The training engine: an encoder's forward and backward pass, written out for speed.

``encoder`` stands in for a model's body; ``architectures`` finds its layers, ``layer`` computes
one, ``linear``, ``products`` and ``attention`` multiply. No data, no files, no Trainer.
"""

from finetune30.modeling.engine.architectures import NotKnown
from finetune30.modeling.engine.encoder import Encoder, install

__all__ = ["Encoder", "NotKnown", "install"]
