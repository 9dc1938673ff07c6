"""The result of `grpo_vs_trl` as tables and as a picture."""

import io
import statistics
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from benchmarks._clock import PHASES
from benchmarks._record import spread, table
from rlcore.plotting import house_style


def report(result: dict) -> str:
    """Everything that was measured, in Markdown."""
    machine, versions = result["machine"], result["versions"]
    parts = [
        f"`{result['command']}`, {result['date']}, {machine['processor']}, {machine['cores']} cores, "
        f"{machine['threads']} thread; " + ", ".join(f"{name} {version}" for name, version in versions.items()),
        _timing(result["timing"]), _training(result["training"]), _agreement(result["agreement"]),
        _sweep(result["sweep"]),
    ]  # fmt: skip
    return "\n\n".join(parts)


def _timing(timing: dict) -> str:
    rows = []
    for name, times in timing["contestants"].items():
        ratio = timing["speedup"].get(name)
        rows.append([name, *(f"{times['phases'][phase]:.1f}" for phase in PHASES), f"{times['total']['median']:.1f}",
                     f"{times['total']['q1']:.1f}–{times['total']['q3']:.1f}",
                     f"{ratio['median']:.2f}×" if ratio else ""])
    batches = timing["batches of rlcore"]
    return (
        f"CPU milliseconds per step, medians of {timing['steps']} steps:\n\n"
        + table(["", *PHASES, "total", "middle half", "TRL / this"], rows)
        + f"\n\nOf the tokens in a batch {batches['distinct']:.0%} are distinct prefixes; "
        f"{batches['frac_reward_zero_std']:.0%} of the groups are dead."
    )


def _training(training: dict) -> str:
    runs, looks, rows = training["runs"], training["looks"], []
    marks = [step for step in (100, 300) if step in looks] or looks[-1:]
    for name, late in training["last third"]["accuracy"].items():
        at = [spread([run["accuracy"][name][looks.index(step)] for run in runs]) for step in marks]
        seconds = statistics.fmean(run["CPU seconds"][name] for run in runs)
        rows.append([name, *map(_spread, (*at, late, training["last third"]["reward"][name])), f"{seconds:.1f}"])
    head = ["", *(f"after {step}" for step in marks), "looks in last third", "reward in last third", "CPU s"]
    return (
        f"Greedy accuracy on {training['held-out problems']} held-out problems ({training['before']:.3f} before), and "
        f"the reward of samples, over {looks[-1]} steps;\nmean ± sd of {len(runs)} seeds:\n\n" + table(head, rows)
    )


def _spread(entry: dict) -> str:
    return f"{entry['mean']:.3f}" + (f" ± {entry['sd']:.3f}" if entry["sd"] is not None else "")


def _agreement(agreement: dict) -> str:
    names = [name for name in next(iter(agreement.values())) if name != "clipped share"]
    clipped = next(iter(agreement.values()))["clipped share"]
    rows = [[name, *(f"{entries[name]:.1e}" for entries in agreement.values())] for name in names]
    return (
        "Largest difference from TRL on TRL's own batch; the gradient's relative to its largest entry. TRL's output "
        f"layer is always float32.\nClipped: the old log-probs are moved until {clipped:.0%} of the tokens are cut.\n\n"
        + table(["", *agreement], rows)
    )


def _sweep(sweep: list[dict]) -> str:
    rows = [
        [row["policy"], row["length"], row["group"], f"{row['entropy']:.2f}", f"{row['distinct']:.0%}",
         f"{row['shared']:.0%}", *(f"{entry['total']['median']:.0f}" for entry in row["ms"].values()),
         f"{row['speedup']['rlcore, plain']['median']:.2f}×", f"{row['speedup']['rlcore']['median']:.2f}×"]
        for row in sweep
    ]  # fmt: skip
    times = [f"{name}, ms" for name in sweep[0]["ms"]]
    head = ["policy", "tokens", "group", "entropy", "distinct", "trees used", *times, "TRL / plain", "TRL / rlcore"]
    return (
        "By completion length and group size (random weights, no EOS, dead groups computed by all). Entropy in nats "
        "per token;\ndistinct prefixes per token; how often the trees were cheaper and used in the update:\n\n"
        + table(head, rows)
    )


def draw(result: dict, path: Path) -> None:
    """Time by phase, accuracy, and speed-up by length; a PNG under 60 KB."""
    house_style()
    figure, axes = plt.subplots(1, 3, figsize=(11, 4), width_ratios=(1.6, 1, 1.1))
    _draw_phases(axes[0], result["timing"])
    _draw_accuracy(axes[1], result["training"])
    _draw_sweep(axes[2], result["sweep"])
    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=100)
    Image.open(raw).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, "PNG", optimize=True)
    plt.close(figure)


def _below(ax: Axes, columns: int, size: float, handle: float = 1.5) -> None:
    """A legend under the axis."""
    ax.legend(ncols=columns, loc="upper center", bbox_to_anchor=(0.45, -0.18), fontsize=size, columnspacing=1,
              handlelength=handle)  # fmt: skip


def _draw_phases(ax: Axes, timing: dict) -> None:
    names = ["TRL", "rlcore, plain", "rlcore"]
    left = [0.0] * len(names)
    for phase in PHASES:
        width = [timing["contestants"][name]["phases"][phase] for name in names]
        ax.barh(names, width, left=left, label=phase, height=0.6)
        left = [a + b for a, b in zip(left, width, strict=True)]
    for name, end in zip(names, left, strict=True):
        ratio = f",\n1 / {timing['speedup'][name]['median']:.1f} of TRL's" if name in timing["speedup"] else ""
        words = f"{timing['contestants'][name]['total']['median']:.0f} ms{ratio}"
        ax.annotate(words, (end, name), xytext=(5, 0), textcoords="offset points", va="center")
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set(title="CPU time of one GRPO step", xlabel="milliseconds, one thread", xlim=(0, 1.3 * max(left)))
    _below(ax, 3, 9)


def _draw_accuracy(ax: Axes, training: dict) -> None:
    steps = [0, *training["looks"]]
    for name, colour in (("TRL", "C8"), ("rlcore", "C6")):
        curves = np.array([[training["before"], *run["accuracy"][name]] for run in training["runs"]])  # [seeds, looks]
        ax.plot(steps, curves.mean(0), color=colour, label=f"{name}, mean of {len(curves)} seeds")
        ax.fill_between(steps, curves.min(0), curves.max(0), color=colour, alpha=0.25, linewidth=0)
    ax.set(title="Held-out accuracy", xlabel="steps (band: lowest to highest seed)", ylabel="share right, greedy",
           ylim=(0, 1.02))  # fmt: skip
    _below(ax, 1, 9)


def _draw_sweep(ax: Axes, sweep: list[dict]) -> None:
    lengths, groups = (sorted({row[name] for row in sweep}) for name in ("length", "group"))
    for kind, style in (("sure", "-"), ("unsure", "--")):
        for group, colour in zip(groups, ("C9", "C0", "C4"), strict=False):
            rows = sorted((r for r in sweep if (r["policy"], r["group"]) == (kind, group)), key=lambda r: r["length"])
            ratios = [row["speedup"]["rlcore"]["median"] for row in rows]
            ax.plot([lengths.index(row["length"]) for row in rows], ratios, style, marker="o", markersize=4,
                    color=colour, label=f"{kind}, groups of {group}", linewidth=1.6)  # fmt: skip
    ax.axhline(1, color="0.3", linestyle=":", linewidth=1.3)
    ax.set_xticks(range(len(lengths)), lengths)
    ax.set(title="TRL's time / rlcore's", xlabel="tokens per completion", ylabel="times faster", ylim=(0, None))
    _below(ax, 2, 7.5, handle=2.6)
