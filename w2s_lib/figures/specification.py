"""The specification curve: one number, counted in every way that can be defended, and which choices made it so."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from w2s_lib.figures.style import DASHED, GREY, STUDIES, Figure, canvas, over
from w2s_lib.findings.specification import CHOICES


def specification_curve(curves: Mapping[str, pd.DataFrame], choices: Sequence[str] = tuple(CHOICES)) -> Figure:
    """One column a study (one of ``STUDIES`` has its colour): sorted estimates with intervals above, a dot for each
    option taken below, of all ``choices`` or of some.

    ``curves``: frames of ``specification.specification_curve``.
    """
    options = [(choice, option) for choice in choices for option in CHOICES[choice]]
    places = np.arange(len(options)) + 0.7 * np.repeat(range(len(choices)), [len(CHOICES[name]) for name in choices])
    figure, axes = canvas(7.6, 6.6, 2, len(curves), sharex="col", sharey="row", height_ratios=(4, 5), squeeze=False)
    said = []
    for (above, below), (name, curve) in zip(axes.T, curves.items()):
        x, colour = np.arange(len(curve)), STUDIES.get(name, STUDIES["world"])
        told = (curve["reads"] == "above zero") | (curve["reads"] == "below zero")
        unclear = {"color": GREY, "linewidth": 0.5, "alpha": 0.45, "label": over(curve)}
        above.vlines(x[~told], curve["low"][~told], curve["high"][~told], **unclear)
        above.vlines(x[told], curve["low"][told], curve["high"][told], color=colour, linewidth=0.7, alpha=0.6)
        above.plot(x, curve["value"], color=colour, linewidth=2)
        above.axhline(0, **DASHED)
        above.set_title(name, color=colour, loc="left")
        for (choice, option), y in zip(options, places):
            taken = (curve[choice] == option).to_numpy()
            for those, shade in ((taken & ~told, GREY), (taken & told, colour)):
                below.scatter(x[those], np.full(those.sum(), y), s=16, marker="|", linewidth=0.6, color=shade)
        below.set(xlabel="specifications, sorted")
        counts = ", ".join(f"{n} {words}" for words, n in curve["reads"].value_counts().items())
        low, middle, high = curve["value"].quantile([0, 0.5, 1])
        said.append(f"{name}: {len(curve)} specifications from {low:.2f} to {high:.2f}, median {middle:.2f}; {counts}")
    reach = 1.5 * max(curve["value"].abs().max() for curve in curves.values())
    axes[0, 0].set(ylabel="explicit − rerun,\nDS beyond its null", ylim=(-reach, 2 * reach))
    axes[1, 0].set_yticks(places, [_named(choice, option) for choice, option in options], fontsize=9)
    axes[1, 0].invert_yaxis()
    for ax in axes.flat:
        ax.tick_params(axis="y", length=0)
    return Figure(
        figure,
        "Excess of the explicit conflict minus a rerun's, in every specification. " + "; ".join(said) + ".",
        "Above: estimates, the least first, with 95 % intervals over seeds; coloured where the interval "
        "leaves out zero. Below: the options behind each. Bars that leave the frame go on.",
    )


def _named(choice: str, option: float | str) -> str:
    if choice in ("T", "neighbours"):
        return f"T = {option:g}" if choice == "T" else f"{option} neighbours"
    return {"weak_strong_pairs": f"{option} weak–strong pairs", "ceiling": f"ceiling: {option}"}.get(
        choice, str(option)
    )
