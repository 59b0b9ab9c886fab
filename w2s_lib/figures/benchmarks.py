"""Figures of the benchmarks: speed, share of the machine's rate, and how far off the cost model is."""

import pandas as pd
import seaborn as sns

from w2s_lib.figures.style import DASHED, GREY, ROLE_COLOURS, Figure, canvas
from w2s_lib.findings.benchmarks import native
from w2s_lib.study.methods import TITLES

WORK_COLOURS = {
    "training": ROLE_COLOURS["strong student"], "scoring": ROLE_COLOURS["strong ceiling"], "pretraining": "#8C6BB1",
    "reward model": ROLE_COLOURS["strong student"], "DPO": ROLE_COLOURS["weak supervisor"], "SimPO": "#CC79A7",
}  # fmt: skip

WAYS = {
    "reference recipe": GREY, "TRL, batches of 32": ROLE_COLOURS["weak supervisor"], "length buckets": "#56B4E9",
    "one text at a time": "#CC79A7", "shared prefixes": ROLE_COLOURS["strong student"],
    "shared prefixes, bf16": ROLE_COLOURS["strong ceiling"],
}  # fmt: skip


DOTS = {"size": 9, "jitter": False, "dodge": True}
"""Marks of one way or kind of work, beside those of the others."""


def with_formats(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with one name a way, its number format included."""
    return rows.assign(way=rows["way"].where(rows["dtype"] == "float32", rows["way"] + ", bf16"))


def speed_ups(rows: pd.DataFrame) -> Figure:
    """Speed relative to the reference recipe, a panel a kind of work: ``rows`` of the bench file's ``throughput``."""
    rows = with_formats(rows[rows["against"] == "reference recipe"])
    works, sizes = rows["work"].unique(), rows["model"].unique()
    figure, axes = canvas(7.6, 1.1 + 0.85 * len(sizes) * len(works), len(works), 1, sharex=True, squeeze=False)
    said = []
    for ax, work in zip(axes.flat, works):
        panel = rows[rows["work"] == work]
        order = [way for way in WAYS if way in set(panel["way"])]
        look = {"order": sizes, "hue_order": order, "palette": WAYS, "alpha": 0.75, "legend": "full"}
        sns.barplot(panel, y="model", x="value", hue="way", ax=ax, **look)
        for way, bars in zip(order, ax.containers):
            measured = panel[panel["way"] == way].set_index("model").reindex(sizes).dropna(subset="value").reset_index()
            drawn = (bar for bar in bars if bar.get_width() > 0)  # not all are measured at all sizes
            for row, bar in zip(measured.itertuples(), drawn):
                middle = bar.get_y() + bar.get_height() / 2
                ax.plot([row.low, row.high], [middle, middle], color=GREY, linewidth=1.5)
                said.append(f"{work}, {row.model}, {way} {row.value:.2f} [{row.low:.2f}, {row.high:.2f}]")
        ax.axvline(1, **DASHED)
        ax.set(xlabel="", ylabel="", title=work)
        ax.tick_params(axis="y", length=0)
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    axes.flat[-1].set_xlabel("times as fast as the reference recipe")
    return Figure(
        figure,
        f"Speed relative to the reference recipe: {'; '.join(said)}.",
        f"Medians of {rows['repeats'].max()} interleaved repeats (an emulated number format: one); lines reach from "
        "the smallest to the largest ratio. Rows: blocks × width of the model.",
    )


def gemm_shares(rows: pd.DataFrame) -> Figure:
    """Arithmetic of the blocks' matrices, padding included, as a share of what the machine's matrix products reach."""
    rows = with_formats(native(rows[rows["against"] == "reference recipe"]))
    order = [way for way in WAYS if way in set(rows["way"])]
    cells = rows.assign(cell=rows["work"] + ", " + rows["model"])
    figure, ax = canvas(7.6, 0.5 + 0.75 * cells["cell"].nunique())
    sns.stripplot(cells, y="cell", x="gemm_share", hue="way", hue_order=order, palette=WAYS, ax=ax, **DOTS)
    ax.set(xlim=(0, 1.02), xlabel="share of the machine's rate of matrix products", ylabel="")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    said = "; ".join(f"{row.cell}, {row.way} {row.gemm_share:.2f}" for row in cells.itertuples())
    return Figure(
        figure,
        f"Share of the machine's rate of matrix products: {said}.",
        "Each way is held against the rate in its own number format; emulated ones are left out. Multiplying padding "
        "counts as work here, though it is of no use.",
    )


def predictions(cost: pd.DataFrame, world: pd.DataFrame) -> Figure:
    """What the cost model says of a run, relative to what was taken: the bench file's ``cost`` and ``cost_world``."""
    sizes = cost.assign(ratio=cost["predicted"] / cost["microseconds"], size=cost["model"].str.replace("x", " × "))
    widths = world.assign(ratio=world["predicted"] / world["seconds"], size=world["model"].str.removeprefix("width "))
    widths = widths.assign(work=widths["work"].replace(TITLES)).sort_values("size")
    figure, axes = canvas(7.6, 3.2, 1, 2, sharey=True)
    said = []
    panels = (("one core, GPT-2s", sizes, "blocks × width"), ("the world's runs", widths, "width"))
    for ax, (title, rows, along) in zip(axes, panels):
        order = [work for work in WORK_COLOURS if work in set(rows["work"])]
        sns.stripplot(rows, x="size", y="ratio", hue="work", hue_order=order, palette=WORK_COLOURS, ax=ax, **DOTS)
        ax.axhline(1, **DASHED)
        ax.set(xlabel=along, ylabel="predicted / taken", title=title, yscale="log", ylim=(0.2, 5))
        ax.set_yticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
        ax.set_yticks([], minor=True)
        ax.legend(loc="upper right", fontsize=9, title=None, ncols=2)
        said += [f"{title}, {row.work}, {row.size} {row.ratio:.2f}" for row in rows.itertuples()]
    return Figure(
        figure,
        f"What the cost model predicts, relative to what was taken: {'; '.join(said)}.",
        "Left: rate fitted to the training of one size, the others predicted. Right: medians of many runs, three "
        "factors fitted to all of them.",
    )
