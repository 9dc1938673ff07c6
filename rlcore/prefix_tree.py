"""Compute every shared prefix once: the completions of a batch, laid out as trees.

Eight answers to one question share the question, and often their first words. A causal model gives the same logits
after the same prefix, so a batch of rows can be computed as one tree per prompt: a node is a distinct prefix, and a
mask lets it see its ancestors and nothing else. The result is exact; only the rounding differs.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PrefixTrees:
    """G trees of up to K nodes, ready for one forward pass, and the way back to the rows they came from."""

    tokens: Tensor  # [G, K]  the last token of each node's prefix
    positions: Tensor  # [G, K]  its place in the text
    visible: Tensor  # [G, K, K] bool: node i sees node j, one of its ancestors or itself
    tree: Tensor  # [B]  the tree of each row
    node: Tensor  # [B, T]  the node of the prefix that ends at t; meaningful up to the row's last True in the mask


def prefix_trees(states: Tensor, mask: Tensor) -> PrefixTrees:
    """Lay out token rows `[B, T]` as trees, one for each distinct prompt; `mask` says which positions are asked for.

    A prompt is what stands up to the first True of a row. Positions after a row's last True are left out.
    """
    steps = torch.arange(states.shape[1])
    first = mask.int().argmax(-1, keepdim=True)  # [B, 1]
    needed = mask.flip(-1).cumsum(-1).flip(-1) > 0  # [B, T]  something is asked for here or later
    tree = _number(states.where(steps <= first, -1))  # [B]
    prefix = _number_prefixes(states, tree)  # [B, T]

    # A node is a (time, prefix) that somebody needs; sorted by time, so that parents come before their children.
    keys, inverse = torch.unique((steps * len(states) + prefix)[needed], return_inverse=True)  # [N]
    row, time = needed.nonzero(as_tuple=True)
    owner = torch.empty_like(keys).scatter_(0, inverse, torch.arange(len(inverse)))  # [N]  any row that passes here
    row, time = row[owner], time[owner]  # [N] each

    # Number the nodes within their tree.
    order = tree[row].argsort(stable=True)
    sizes = torch.bincount(tree[row], minlength=int(tree.max()) + 1)  # [G]
    place = torch.empty_like(keys)
    place[order] = torch.arange(len(keys)) - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
    node = torch.zeros_like(states)
    node[needed] = place[inverse]

    shape = len(sizes), int(sizes.max())
    tokens, positions = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    tokens[tree[row], place], positions[tree[row], place] = states[row, time], time
    visible = torch.eye(shape[1], dtype=torch.bool).repeat(shape[0], 1, 1)  # unused places see themselves: no 0/0
    which, ancestor_time = (steps <= time[:, None]).nonzero(as_tuple=True)
    visible[tree[row[which]], place[which], node[row[which], ancestor_time]] = True
    return PrefixTrees(tokens, positions, visible, tree, node)


def _number(rows: Tensor) -> Tensor:
    """Give equal rows the same number: `[B, T] -> [B]`."""
    return torch.unique(rows, dim=0, return_inverse=True)[1]


def _number_prefixes(states: Tensor, tree: Tensor) -> Tensor:
    """Give rows of one tree the same number at t where they agree up to t, `[B, T]`; numbers are below B."""
    numbers, vocabulary = [tree], int(states.max()) + 1
    for t in range(1, states.shape[1]):
        numbers.append(torch.unique(numbers[-1] * vocabulary + states[:, t], return_inverse=True)[1])
    return torch.stack(numbers, -1)


def saves_work(trees: PrefixTrees, rows: int, steps: int, width: int) -> bool:
    """Whether the trees cost less than `rows` separate texts of `steps` tokens, for a transformer of this width.

    Per layer, a token costs about 24 · width² operations in the linear maps, and 4 · width for every token that it
    is compared with in attention. Long texts that soon go different ways share little and pay for a large mask.
    """
    count, nodes = trees.tokens.shape
    separate = rows * steps * (24 * width**2 + steps * 4 * width)
    shared = count * nodes * (24 * width**2 + nodes * 4 * width)
    return shared < separate
