"""Check of chapter 00: one small exercise, to try the machinery."""

from rlcourse.exam import call, exercise, expect


@exercise("00.1", title="What does not count", hints=[
    "Two things: make the places where `mask` is False count 0, and add up along one axis, not both.",
    "`rewards.masked_fill(~mask, 0.0)` puts 0 there. Time is the last axis: `-1`.",
    "`rewards.masked_fill(~mask, 0.0).sum(-1)`",
])
def check_total_rewards(fn):
    """Rows 1 + 2 + 4 = 7 and 8, where the 9s are padding."""
    import torch

    rewards = torch.tensor([[1.0, 2.0, 4.0], [8.0, 9.0, 9.0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    expect(call(fn, rewards, mask), torch.tensor([7.0, 8.0]), pure=True, mistakes={
        "padding-counted": (torch.tensor([7.0, 26.0]), "You added up whole rows. Where `mask` is False stands padding: "
                                                       "nobody earned that."),
        "all-in-one": (33.0, "You added everything into one number, padding too. `sum(-1)` adds along time only and "
                             "leaves one number per row."),
        "rows-merged": (15.0, "The padding is left out, but both throws went into one number. `sum(-1)` adds along "
                              "time only."),
        "wrong-axis": (torch.tensor([9.0, 2.0, 4.0]), "You added along the first axis: that is one number per moment, "
                                                      "over all throws. Time is the last axis: `sum(-1)`."),
        "mask-inverted": (torch.tensor([0.0, 18.0]), "You kept the padding and dropped what counts: `mask` is True "
                                                    "where a step counts."),
        "mean-not-sum": (torch.tensor([7 / 3, 8.0]), "You divided by the number of steps. What a throw was worth is a "
                                                     "sum."),
        "mask-counted": (torch.tensor([3.0, 1.0]), "You counted the steps. That is what `mask.sum(-1)` says; the "
                                                   "question was what they earned."),
    })
    many = torch.arange(12.0).view(4, 3)  # rows 0 + 1 + 2, 3, 6 + 7, nothing: not only the first two rows count
    some = torch.tensor([[True, True, True], [True, False, False], [True, True, False], [False, False, False]])
    expect(call(fn, many, some), torch.tensor([3.0, 3.0, 13.0, 0.0]))
    hostile = torch.tensor([[1.0, float("nan")], [-2.0, float("inf")]])  # padding may be anything
    expect(call(fn, hostile, torch.tensor([[True, False], [True, False]])), torch.tensor([1.0, -2.0]), mistakes={
        "zero-times-anything": (lambda got: bool(torch.as_tensor(got).isnan().any()),
                                "You multiplied by the mask. Padding may hold anything, also inf or NaN, and zero "
                                "times NaN is NaN: fill it with 0 instead (`masked_fill`, `where`)."),
    })
