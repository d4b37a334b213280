"""Embeddings of tokens that lie in a row, without the modules around them: for a short text their calls cost as much.

Only of architectures whose tokens have positions that are counted from the first, and only after a look that the same
comes out as of transformers' own module. Neighbours: ``forward`` asks, and takes the module where there is no such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from finetune30.modeling.shared.rows import Segment

_KNOWN = frozenset({"bert", "distilbert", "albert", "electra"})
_CLOSE = 1e-5


@dataclass(frozen=True)
class Words:
    """Tables of a frozen base.

    Attributes:
        first: Of the positions, and the first type's added to each.
        second: What the second type has more than the first; None without types.
    """

    words: Tensor
    first: Tensor
    second: Tensor | None
    norm: tuple[Tensor, Tensor, float]

    @classmethod
    def of(cls, body: Any) -> Words | None:
        """Of a body of transformers; None where it embeds otherwise."""
        module = body.embeddings
        try:
            if body.config.model_type not in _KNOWN:
                return None
            types = getattr(module, "token_type_embeddings", None)
            places = module.position_embeddings.weight.detach()
            kinds = None if types is None else types.weight.detach()
            norm = module.LayerNorm
            if kinds is not None and len(kinds) > 2:
                return None
            found = cls(
                module.word_embeddings.weight.detach(),
                places if kinds is None else places + kinds[0],
                kinds[1] - kinds[0] if kinds is not None and len(kinds) > 1 else None,
                (norm.weight.detach(), norm.bias.detach(), norm.eps),
            )
            return found if found._is_as(module) else None
        except AttributeError:
            return None

    def laid(self, read: Mapping[str, Tensor], segments: Sequence[Segment], count: int) -> Tensor:
        """Shape (count, size), float32: segment after segment, then tokens of nobody."""
        ids = read["input_ids"]
        if ids.shape[1] > len(self.first):
            raise RuntimeError(f"{ids.shape[1]} tokens: the base has no more than {len(self.first)} positions")
        types = read.get("token_type_ids")
        if len(segments) == 1 and segments[0].rows == 1 and types is None:
            return self._embedded(functional.pad(ids[0], (0, count - ids.shape[1])), None, None)
        flat = ids.new_zeros((2 if types is None else 3, count))
        for one in segments:
            for to, table in zip(flat[1:], (ids, types), strict=False):
                if table is not None:
                    there = table[one.first : one.last, : one.tokens]
                    to[one.start : one.stop].view(one.rows, one.tokens)[:, : there.shape[1]] = there
            flat[0, one.start : one.stop].view(one.rows, one.tokens)[:] = torch.arange(one.tokens).clamp_(
                max=len(self.first) - 1
            )
        return self._embedded(flat[1], flat[0], None if types is None else flat[2])

    def _embedded(self, ids: Tensor, places: Tensor | None, types: Tensor | None) -> Tensor:
        found = functional.embedding(ids, self.words)
        if places is None:
            found[: len(self.first)] += self.first[: len(ids)]
        else:
            found += functional.embedding(places, self.first)
        if types is not None and self.second is not None:
            found.addcmul_(types.unsqueeze(1).to(found.dtype), self.second)
        weight, bias, eps = self.norm
        return torch.layer_norm(found, weight.shape, weight, bias, eps)

    def _is_as(self, module: Any) -> bool:
        tokens = min(7, len(self.first))
        ids = torch.arange(2 * tokens, device=self.words.device).view(2, tokens) % len(self.words)
        read = {"input_ids": ids}
        if self.second is not None:
            read["token_type_ids"] = ids % 2
        laid = (Segment(0, 1, tokens, 0), Segment(1, 2, tokens, tokens))
        with torch.inference_mode():
            wanted, found = module(**read), self.laid(read, laid, 2 * tokens)
            one = self.laid({"input_ids": ids[:1]}, laid[:1], tokens + 1)[:tokens]
            return torch.allclose(found.view_as(wanted), wanted, atol=_CLOSE) and torch.allclose(
                one, module(input_ids=ids[:1])[0], atol=_CLOSE
            )
