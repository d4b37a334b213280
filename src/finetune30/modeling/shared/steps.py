"""A forward pass through the layers, with every row's adapter, in the part of Python that TorchScript compiles.

Run by Python, a pass gives up Python's lock at each of its two hundred products and waits for it again, behind
whatever the service's other threads do: a quarter of the time of a batch under load. Compiled, it holds no lock
from the first layer to the last. The same source runs as plain Python where torch cannot compile it.
Everything is a value that was made for the batch, or is never changed, so threads may run side by side.
Annotations are evaluated here, unlike elsewhere: TorchScript reads those of tuples no other way.
Neighbours: ``forward`` prepares and calls, ``adding`` adds the adapters, ``engine.layer`` is the same for training.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from finetune30.modeling.shared.adding import Adapters, add, rounded

# Numbers of the module are not known to what is compiled: those of a function stand in it.
GELU, GELU_TANH, RELU = 0, 1, 2


class Block(NamedTuple):
    """A frozen layer.

    Attributes:
        stacks: Numbers of its products: of query, key and value, or of query and of key and value, where first tokens
            alone are computed; then out, up and down.
        weights, biases: Of these products.
        norms: Weight and bias after attention, then after the last product.
    """

    stacks: list[int]
    weights: list[Tensor]
    biases: list[Tensor | None]
    norms: list[Tensor]
    eps: list[float]
    heads: int
    activation: int
    packed: bool


class Piece(NamedTuple):
    """Rows of like length that lie together: see ``rows.Segment``."""

    first: int
    last: int
    tokens: int
    start: int
    mask: Tensor | None


def through(
    hidden: Tensor, blocks: list[Block], pieces: list[Piece], rows: int, crowd: Adapters, firsts: Adapters
) -> Tensor:
    """Hidden states of each row's first token, shape (rounded rows, size).

    Args:
        hidden: What the first layer reads, shape (rounded tokens, size), piece after piece.
        crowd: The adapters of the rows as they lie.
        firsts: The same for one token a row.
    """
    if _is_short(rows, hidden):
        pieces = [_longer(pieces[0], hidden.shape[0])]
    for block in blocks:
        hidden = _layer(hidden, block, pieces, rows, crowd, firsts)
    return hidden


def _layer(hidden: Tensor, block: Block, pieces: list[Piece], rows: int, crowd: Adapters, firsts: Adapters) -> Tensor:
    asked, queries, after, at = hidden, hidden, crowd, 1
    first_only = len(block.stacks) == 5
    if first_only:
        asked, after, at = _firsts(hidden, pieces, rows), firsts, 2
        queries = _product(asked, block, 0, firsts)
    others = _product(hidden, block, at - 1, crowd)
    if _is_short(rows, hidden):
        context = _read_short(block.heads, queries, others, pieces[0].mask)
    else:
        context = torch.zeros_like(asked)
        for piece in pieces:
            _attend(block.heads, piece, queries, others, context, first_only)
    middle = _onto(context, block, at, after, asked)
    middle = torch.layer_norm(middle, [middle.shape[1]], block.norms[0], block.norms[1], block.eps[0])
    wide = _wide(middle, block, at + 1, after)
    found = _onto(wide, block, at + 2, after, middle)
    return torch.layer_norm(found, [found.shape[1]], block.norms[2], block.norms[3], block.eps[1])


def _is_short(rows: int, hidden: Tensor) -> bool:
    """Whether the batch is one row of few tokens."""
    return rows == 1 and hidden.shape[0] <= 48 and hidden.device.type == "cpu"


def _longer(piece: Piece, tokens: int) -> Piece:
    """A single row with the tokens of nobody behind it, which are masked: softmax is twice as fast on whole vectors."""
    return Piece(0, 1, tokens, 0, _wider(piece.mask, 1, piece.tokens, 1, tokens))


def _firsts(hidden: Tensor, pieces: list[Piece], rows: int) -> Tensor:
    """The first token of each row, then rows of nobody."""
    firsts = hidden.new_zeros([rounded(rows), hidden.shape[1]])
    for piece in pieces:
        stop = piece.start + (piece.last - piece.first) * piece.tokens
        firsts[piece.first : piece.last] = hidden[piece.start : stop : piece.tokens]
    return firsts


def _attend(heads: int, piece: Piece, queries: Tensor, others: Tensor, context: Tensor, first_only: bool) -> None:
    """Write what the tokens of a piece read into their place in ``context``.

    Args:
        queries: With ``first_only`` those of the first tokens, shape (rows, size).
        others: Keys and values, else also queries before them, side by side.
        context: Shape (tokens, size), of the first tokens alone (rows, size).
    """
    rows, tokens, count = piece.last - piece.first, piece.tokens, 2 if first_only else 3
    some = others[piece.start : piece.start + rows * tokens]
    width = some.shape[1] // count // heads
    apart = some.view(rows, tokens, count, heads, width).permute(2, 0, 3, 1, 4)
    mask = piece.mask
    # On a CPU torch's fused attention is the faster one for two rows, in float32; from there on it is the slower one.
    if rows <= 2 or some.device.type != "cpu":
        query = queries[piece.first : piece.last].view(rows, heads, 1, width) if first_only else apart[0]
        if some.device.type == "cpu":
            apart, query = apart.float(), query.float()
        if mask is not None:
            mask = mask.to(apart.dtype)
        found = torch.nn.functional.scaled_dot_product_attention(query, apart[-2], apart[-1], mask)
    else:
        # For the kernels' sake as many rows and tokens as there often are; those of nobody are masked, or not read.
        more, longer = rounded(rows), (tokens + 3) // 4 * 4
        whole = some.new_zeros([count, more, heads, longer, width])
        whole[:, :rows, :, :tokens] = apart
        query = whole[0]
        if first_only:
            query = some.new_zeros([more, heads, 1, width])
            query[:rows] = queries[piece.first : piece.last].view(rows, heads, 1, width)
        found = _read(query, whole[count - 2], whole[count - 1], _wider(mask, rows, tokens, more, longer))
        found = found[:rows, :, :tokens]
    start, stop = piece.start, piece.start + rows * tokens
    if first_only:
        start, stop = piece.first, piece.last
    context[start:stop].view(rows, -1, heads, width).copy_(found.transpose(1, 2))


def _read(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax between two batched products: see ``engine.attention.Plain``."""
    rows, heads, queries, width = query.shape
    found = torch.empty_like(query)
    # Weights of more rows than these are more than 64 MiB.
    most = max(1, (16 << 20) // (heads * queries * key.shape[2]))
    for start in range(0, rows, most):
        stop = min(rows, start + most)
        asked = query[start:stop].flatten(0, 1)
        scores = torch.bmm(asked, key[start:stop].flatten(0, 1).transpose(1, 2)).float().mul_(float(width) ** -0.5)
        if mask is not None:
            scores.view(stop - start, heads, queries, -1).add_(mask[start:stop])
        weights = torch.softmax(scores, -1).to(query.dtype)
        read = torch.bmm(weights, value[start:stop].flatten(0, 1)).view(stop - start, heads, queries, width)
        if stop - start == rows:
            return read
        found[start:stop] = read
    return found


def _read_short(heads: int, queries: Tensor, others: Tensor, mask: Tensor | None) -> Tensor:
    """What the tokens of one short row read, in float32: that costs less than calling what is fused, and is nearer.

    Args:
        queries: Those that are asked for, where ``others`` has keys and values alone.
    """
    tokens, size = others.shape
    count = 2 if size == 2 * queries.shape[1] else 3
    width = size // count // heads
    apart = others.view(tokens, count, heads, width).float().permute(1, 2, 0, 3)
    query = apart[0] if count == 3 else queries.view(-1, heads, width).float().transpose(0, 1)
    unread = query.new_zeros([1]) if mask is None else mask.view(1, 1, -1)
    scores = torch.baddbmm(unread, query, apart[count - 2].transpose(1, 2), alpha=float(width) ** -0.5)
    found = torch.bmm(torch.softmax(scores, -1), apart[count - 1])
    context = others.new_empty([found.shape[1], heads, width])
    context.copy_(found.transpose(0, 1))
    return context.view(found.shape[1], -1)


def _wider(mask: Tensor | None, rows: int, tokens: int, more: int, longer: int) -> Tensor | None:
    """The mask of a piece for more rows of more tokens."""
    if mask is None and tokens == longer:
        return None
    found = torch.zeros([more, 1, 1, longer])
    found[:, :, :, tokens:] = -3.4028234663852886e38  # the smallest float32
    if mask is not None:
        found[:rows, :, :, :tokens] = mask
    return found


def _activated(values: Tensor, activation: int) -> Tensor:
    if activation == 2:
        return torch.relu(values)
    return torch.nn.functional.gelu(values, approximate="none" if activation == 0 else "tanh")


def _adds_nothing(adapters: Adapters) -> bool:
    return len(adapters.spans) == 0 and len(adapters.groups) == 0


def _wide(inputs: Tensor, block: Block, at: int, adapters: Adapters) -> Tensor:
    """The outputs of the product before the activation, and that of them."""
    # Of few tokens it costs less inside the product; of many it is slower there.
    if block.packed and block.activation != 2 and inputs.shape[0] <= 64 and _adds_nothing(adapters):
        how = "none" if block.activation == 0 else "tanh"
        weight, bias = block.weights[at], block.biases[at]
        outputs: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "gelu", [], how)
        return outputs
    return _activated(_product(inputs, block, at, adapters), block.activation)


def _product(inputs: Tensor, block: Block, at: int, adapters: Adapters) -> Tensor:
    """The outputs of a product, each token's adapter added."""
    weight, bias = block.weights[at], block.biases[at]
    if block.packed:
        outputs: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
    else:
        outputs = torch.nn.functional.linear(inputs, weight, bias)
    add(adapters, block.stacks[at], inputs, outputs, block.packed)
    return outputs


def _onto(inputs: Tensor, block: Block, at: int, adapters: Adapters, other: Tensor) -> Tensor:
    """The same, and ``other`` is added."""
    weight, bias = block.weights[at], block.biases[at]
    if block.packed:
        outputs: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, other, weight, bias, "add")
    else:
        outputs = torch.nn.functional.linear(inputs, weight, bias).add_(other)
    add(adapters, block.stacks[at], inputs, outputs, block.packed)
    return outputs
