"""The specification curve counts what the other chapters count, and each specification once."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from w2s_lib.figures.specification import specification_curve as draw
from w2s_lib.findings.results import measure, minus
from w2s_lib.findings.specification import (
    CHOICES,
    by_cell,
    by_option,
    explicit_minus_rerun,
    specification_curve,
    total_excess,
)
from w2s_lib.findings.statistics import MATCHED
from w2s_lib.measures.metrics import Comparison


def made_up(seed: int = 0, n: int = 600) -> Comparison:
    """Pairs on which a conflict student is unlike the baseline."""
    rng = np.random.default_rng(seed)
    told = rng.normal(1, 2, n)
    return Comparison(*(1 / (1 + np.exp(-told - rng.normal(0, 2, n))) for _ in range(5)), threshold=0.6)


@pytest.mark.parametrize(("null", "neighbours"), product(["margin_matched", "weak_matched"], [5, 20, 10_000]))
def test_totals_are_those_of_the_comparison(null, neighbours):
    c = replace(made_up(), neighbours=neighbours)
    total, taxed = total_excess(c, null, neighbours)
    assert taxed == (c.tax & c.scored(null)[1]).sum() > 20
    assert total / taxed == pytest.approx(float(c.excess(null)))


def test_nobody_taxed_is_no_error():
    c = made_up()
    assert total_excess(replace(c, conflict=c.baseline), "margin_matched", 20) == (0.0, 0)


def planted(scores: dict[tuple[str, str], tuple[float, int]]) -> pd.DataFrame:
    """As of ``by_cell``, two seeds alike: (weak model, condition) → score and number of taxed pairs."""
    usual = {"T": 0.75, "knows": "p > T", "null": "margin-matched", "neighbours": 20, "ceiling": "own half"}
    return pd.DataFrame([
        usual | {"seed": seed, "weak": weak, "strong": "s", "condition": condition, "total": score * n, "taxed": n}
        for seed in (1, 2)
        for (weak, condition), (score, n) in scores.items()
    ])  # fmt: skip


def test_pooling_weighs_by_taxed_pairs_or_does_not():
    scores = {("a", "explicit"): (0.6, 90), ("b", "explicit"): (0.0, 10)}
    scores |= {("a", "rerun"): (0.1, 5), ("b", "rerun"): (0.3, 5)}
    assert explicit_minus_rerun(planted(scores), "ratio of sums").tolist() == pytest.approx([0.54 - 0.2] * 2)
    assert explicit_minus_rerun(planted(scores), "mean over pairs").tolist() == pytest.approx([0.3 - 0.2] * 2)


def test_a_model_pair_without_a_score_on_one_side_is_left_out_of_both():
    scores = {("a", "explicit"): (0.6, 90), ("b", "explicit"): (0.0, 90)}
    scores |= {("a", "rerun"): (0.1, 5), ("b", "rerun"): (0.0, 0)}
    for how in CHOICES["pooled"]:
        assert explicit_minus_rerun(planted(scores), how).tolist() == pytest.approx([0.5, 0.5])


def specifications() -> pd.DataFrame:
    """All that there are: the other half's ceiling has none over all pairs."""
    frame = pd.DataFrame(product(*CHOICES.values()), columns=list(CHOICES))
    return frame[(frame["weak_strong_pairs"] == "control") | (frame["ceiling"] == "own half")].reset_index(drop=True)


def curve() -> pd.DataFrame:
    frame = specifications()
    value = np.sort(np.random.default_rng(0).normal(0.1, 0.1, len(frame)))
    frame = frame.assign(value=value, low=value - 0.1, high=value + 0.1, n_seeds=3)
    return frame.assign(reads=np.where(frame["low"] > 0, "above zero", "not distinguishable from zero"))


def test_the_figure_tells_how_many_say_what():
    made = curve()
    figure = draw({"world": made, "frozen layers": made})
    n = (made["reads"] == "above zero").sum()
    assert figure.alt.count(f"{n} above zero") == 2 and f"{len(made)} specifications" in figure.alt
    assert f"{n} above zero" in draw({"any other edition": made}).alt
    assert len(figure.canvas.axes) == 4 and "fill: #ffffff" not in figure.svg().split("</defs>")[0]


def test_every_option_is_told_with_its_share():
    told = by_option(curve()).set_index(["choice", "option"])
    assert told["above_zero"].between(0, 1).all() and len(told) == sum(map(len, CHOICES.values()))
    each = told.groupby("choice")["specifications"]
    assert (each.nunique() == 1).all(), "as many of one option as of another"
    assert (
        each.sum()["pooled"] == len(curve())
        and each.sum()["weak_strong_pairs"] == each.sum()["ceiling"] == len(curve()) * 2 / 3
    )


def solution() -> str:
    """The chapter's own answer to the exercise on what each choice moves."""
    cells = nbformat.read(Path(__file__).parents[1] / "notebooks" / "18_specification_curve.ipynb", 4).cells
    (cell,) = (cell for cell in cells if cell.source.startswith("within = "))
    return cell.source


@pytest.mark.parametrize(
    ("choice", "beside"), [("weak_strong_pairs", "ceiling"), ("ceiling", "weak_strong_pairs"), ("null", "T")]
)
def test_a_choice_that_does_nothing_moves_nothing_beside_one_that_does(choice, beside):
    """The number hangs on one choice alone; over all rows, its options stand unevenly behind those of another."""
    made = specifications()
    made = made.assign(value=np.where(made[choice] == CHOICES[choice][0], 0.05, 0.10), reads="above zero")
    medians = by_option(made).groupby("choice", sort=False)["median"]
    moved = (medians.max() - medians.min())[list(CHOICES)]
    assert moved[choice] == pytest.approx(0.05) and moved.drop(choice).tolist() == [0] * (len(CHOICES) - 1)
    assert moved[beside] == 0
    space = {"mine": made, "CHOICES": CHOICES}
    exec(solution(), space)
    assert space["specification_moves"] == pytest.approx(moved.tolist())


def test_the_curve_holds_the_number_of_the_conflict_chapter(study, lab):
    at = study.with_parameters(threshold=0.6).on(lab)
    found = by_cell(at, "own half")
    mine = found[(found["T"] == 0.6) & (found["knows"] == "p > T") & (found["null"] == "margin-matched")]
    value = explicit_minus_rerun(mine[mine["neighbours"] == 20], "ratio of sums")
    row = minus(measure(at, ["explicit", "rerun"], [MATCHED]), [MATCHED], ["explicit"], "rerun").iloc[0]
    assert value.mean() == pytest.approx(row["value"], nan_ok=True) if len(value) else np.isnan(row["value"])


def test_every_specification_stands_in_the_curve_once(study, lab):
    before, found = lab.trained, specification_curve(study.on(lab))
    assert not found.duplicated(list(CHOICES)).any() and found["value"].is_monotonic_increasing
    assert set(found["weak_strong_pairs"]) <= set(CHOICES["weak_strong_pairs"]) and lab.trained == before
