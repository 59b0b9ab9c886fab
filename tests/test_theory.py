"""Divergences and projections are what is written, theorems hold where their assumptions do, rivals are told apart."""

from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from tests.planted import per_seed
from w2s_lib.figures import theory as figures
from w2s_lib.findings.claims import CLAIMS, ledger
from w2s_lib.findings.results import TRAINING, pick, slopes, summarise
from w2s_lib.findings.sensitivity import calibration_error, confidence
from w2s_lib.findings.statistics import MATCHED
from w2s_lib.findings.theory import (
    BOUNDS,
    EXPLAINED,
    GOES_ON_BY_VERDICT,
    GROWTH,
    LEAST_LABEL,
    OF_STUDENTS,
    heads,
    slacks,
)
from w2s_lib.measures import divergences as d
from w2s_lib.measures.metrics import correct
from w2s_lib.measures.projections import nearest_head, nearest_mixture

CELLS = nbformat.read(Path(__file__).parents[1] / "notebooks" / "19_theory.ipynb", 4).cells

RNG = np.random.default_rng(0)
P, Q = expit(RNG.normal(1, 2, (2, 500)))
WEIGHTS = RNG.multinomial(500, np.full(500, 1 / 500), size=3).astype(float)


def test_divergences_by_a_naive_formula():
    by_hand = [p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)) for p, q in zip(P, Q)]
    assert d.kl(P, Q) == pytest.approx(by_hand)
    assert d.log_loss(P) == pytest.approx(-np.mean(np.log(P))) and d.kl(np.ones(500), P).mean() == pytest.approx(
        float(d.log_loss(P)), abs=1e-9
    )
    assert d.gain(P, Q) == pytest.approx(np.mean((1 - Q) ** 2) - np.mean((1 - P) ** 2))
    assert d.gain_beyond_misfit(P, Q) == pytest.approx(2 * np.mean((1 - P) * (P - Q)))


def test_probabilities_of_one_are_no_trouble():
    sure = np.array([1.0, 0.0, 0.5])
    assert all(np.isfinite(of(sure, sure[::-1])) for of in OF_STUDENTS.values())


@pytest.mark.parametrize("name", OF_STUDENTS)
def test_weights_repeat_pairs(name):
    """A pair of weight two counts as two pairs do, one of weight nought not at all."""
    of = OF_STUDENTS[name]
    if name in ("bound_by_variation", "bound_by_kl", "bound_by_reverse_kl", "bound_beyond_coin"):
        return  # γ is that of all pairs
    again = [np.repeat(np.arange(500), row.astype(int)) for row in WEIGHTS]
    assert of(P, Q, WEIGHTS) == pytest.approx([float(of(P[i], Q[i])) for i in again])
    assert of(P, Q) == pytest.approx(float(of(P, Q, np.ones(500))))


@pytest.mark.parametrize("seed", range(20))
def test_each_bound_lies_above_the_one_before(seed):
    rng = np.random.default_rng(seed)
    p, q = expit(rng.normal(rng.normal(), rng.exponential(3), (2, 50)))
    chain = [float(of(p, q)) for of in BOUNDS.values()]
    assert chain[:4] == sorted(chain[:4]) and chain[4] >= chain[2]
    assert d.bound_by_kl(p, q, least=0.5) < d.bound_by_kl(p, q, least=0.1)


@pytest.mark.parametrize("seed", range(20))
def test_calibration_in_the_same_bins_differs_by_the_variation_at_most(seed):
    rng = np.random.default_rng(seed)
    p, q = expit(rng.normal(0.5, 2, (2, 80)))
    apart = abs(d.calibration_in_bins_of(p, q) - d.calibration_in_bins_of(q, q))
    assert 0 < apart <= d.variation(p, q)


def test_in_its_own_bins_it_is_the_expected_calibration_error():
    total = 0.0
    for low in np.arange(10) / 20 + 0.5:
        inside = (confidence(P) >= low) & (confidence(P) < low + 0.05)
        total += abs((confidence(P) - correct(P))[inside].sum()) / len(P)
    assert calibration_error(P) == pytest.approx(total) and d.calibration_in_bins_of(P, P) == calibration_error(P)


def test_kappa_of_planted_models():
    right = np.arange(1000) < 800
    other = np.concatenate([np.arange(800) < 640, np.arange(200) < 160])  # right as often, whatever the first says
    assert d.capa(right, other) == pytest.approx(0) and d.capa(right, right) == 1
    assert d.capa(right, right[::-1]) == pytest.approx((0.6 - 0.68) / 0.32)
    assert np.isnan(d.capa(np.ones(5), np.ones(5)))


@pytest.fixture(scope="module")
def planted():
    """Frozen features and the labels of a supervisor that is no head on them."""
    rng = np.random.default_rng(1)
    x = rng.normal(0.4, 1, (400, 6))
    return x, expit(2 * np.tanh(x @ rng.normal(size=6)) + rng.normal(0, 1.5, 400))


def test_the_nearest_head_has_no_nearer_neighbour(planted):
    x, q = planted
    for reverse in (False, True):
        w = nearest_head(x, q, reverse=reverse, start=nearest_head(x, q))
        far = lambda w: (d.kl(expit(x @ w), q) if reverse else d.kl(q, expit(x @ w))).mean()
        assert all(far(w) < far(w + step) for step in 0.01 * np.random.default_rng(2).normal(size=(50, 6)))


def test_a_planted_mixture_is_found():
    members = expit(np.random.default_rng(3).normal(0, 2, (4, 300)))
    share = np.array([0.5, 0.3, 0.0, 0.2])
    assert nearest_mixture(members, share @ members) == pytest.approx(share, abs=1e-4)


def test_pythagoras_where_his_assumptions_hold_and_where_they_do_not(planted):
    """Mixtures are convex and hold the truth; heads fulfil an equation, with the other KL; the rest may do as it
    likes."""
    x, q = planted
    made = heads(x, q, seed=0)
    p = {name: of(x) for name, of in made.items()}
    found = {name: float(of()) for name, of in slacks(p, q).items()}
    assert found["slack_mixtures"] > -1e-7 and found["slack_heads_forward"] == pytest.approx(0, abs=1e-7)
    assert found["slack_heads"] < -1e-3, "a reverse projection on heads need not fulfil it, and here does not"
    low = d.clipped(q, LEAST_LABEL)
    assert found["slack_heads_truth"] == pytest.approx(
        np.mean(-np.log(low) + np.log(p["heads"])) - d.kl(p["heads"], low).mean()
    )
    assert made["truth"](x).mean() > 0.5 and made["truth"](-x) == pytest.approx(1 - p["truth"])


def rows(y_of, n_seeds: int = 3) -> pd.DataFrame:
    """Ten pairs a seed with a gap, a kappa that goes with it, and a statistic made of the two."""
    made, rng = [], np.random.default_rng(4)
    for seed in range(n_seeds):
        for i in range(10):
            gap, kappa = 0.1 * rng.random(), rng.random()
            at = {"seed": seed, "weak": f"w{i}", "condition": "none"}
            values = {"gap": gap, "kappa": kappa - 5 * gap, "pgr": y_of(gap, kappa - 5 * gap)}
            made += [at | {"statistic": name, "value": value} for name, value in values.items()]
    return per_seed(made)


def test_rivals_are_told_apart():
    """Only kappa matters: the gap's own slope is what it borrows from kappa, and nothing at equal kappa."""
    frame = rows(lambda gap, kappa: 1 - 0.2 * kappa)
    told = {found["per"]: found["value"] for both in GROWTH for _, found in slopes(frame, ("pgr",), *both).iterrows()}
    assert told["gap"] > 0.3 and told["gap_given_kappa"] == pytest.approx(0, abs=1e-9)
    assert told["kappa_given_gap"] == pytest.approx(-0.2)


def test_slopes_at_equal_values_are_those_of_a_plane():
    frame = rows(lambda gap, kappa: np.sin(30 * gap) + kappa**2).assign(counted=1.0)
    frame["counted"] = np.random.default_rng(5).random(len(frame))
    mine = frame[frame["seed"] == 0].pivot(index="weak", columns="statistic", values=["value", "counted"])
    a = np.column_stack([np.ones(10), mine["value"]["gap"], mine["value"]["kappa"]])
    root = np.sqrt(mine["counted"]["pgr"].to_numpy())
    by_hand = np.linalg.lstsq(root[:, None] * a, root * mine["value"]["pgr"].to_numpy(), rcond=None)[0]
    found = slopes(frame[frame["seed"] == 0], ("pgr",), "gap", "kappa")
    assert found["value"].iloc[0] == pytest.approx(by_hand[1])


def test_two_pairs_give_no_plane():
    frame = rows(lambda gap, kappa: gap)
    few = frame[frame["weak"].isin(["w0", "w1"])]
    assert slopes(few, ("pgr",), "gap", "kappa")["value"].isna().all()
    assert slopes(few, ("pgr",), "gap")["value"].iloc[0] == pytest.approx(1)


# What is said by verdict

VERDICTS = {
    "T1": {
        "yes": (0.04, 0.05, 0.06), "small": (0.004, 0.005, 0.006), "no": (-0.06, -0.05, -0.04),
        "undecided": (-0.05, 0, 0.05),
    },
    "T3": {
        "yes": (-0.3, -0.2, -0.25), "small": (-0.019, -0.02, -0.021), "no": (0.5, 0.6, 0.7), "undecided": (-5, 10, 30),
    },
}  # fmt: skip


def told(values: dict[str, tuple[float, ...]]) -> dict[str, str]:
    """What the chapter goes on to say after both claims, where their rows have these values by seed."""
    names = {key: {k: v for k, v in CLAIMS[key].row.items() if k != "chapter"} for key in values}
    rows = [names[key] | {"seed": i, "value": v} for key, its in values.items() for i, v in enumerate(its)]
    results, said = summarise(per_seed(rows), pooled=True), {}
    chapter = SimpleNamespace(
        ledger_row=lambda key, results: ledger({CLAIMS[key].chapter: results}, [CLAIMS[key]]).iloc[0], say=said.update
    )
    (cell,) = (cell for cell in CELLS if "GOES_ON" in cell.source)
    exec(cell.source, {"chapter": chapter, "results": results})
    return said


@pytest.mark.parametrize("verdict", ["yes", "small", "no", "undecided"])
def test_what_follows_a_claim_follows_its_verdict(verdict):
    said = told({key: by[verdict] for key, by in VERDICTS.items()})
    assert said == {f"{key}_follows": goes_on[verdict] for key, goes_on in GOES_ON_BY_VERDICT.items()}
    assert ("should not be" in said["T1_follows"]) == (verdict == "no")
    assert ("wrong scale" in said["T3_follows"]) == (verdict == "undecided")
    prose = "\n".join(cell.source for cell in CELLS if cell.cell_type == "markdown")
    assert all("{glue:text}`" + name + "`" in prose for name in said) and "should not be" not in prose


@pytest.fixture(scope="module")
def frames():
    rng, made = np.random.default_rng(6), []
    for seed in (1, 2):
        for i in range(4):
            at = {"seed": seed, "weak": f"w{i}", "condition": "none"}
            p, q = expit(rng.normal(1, 2, (2, 60)))
            made += [at | {"statistic": name, "value": float(of(p, q))} for name, of in OF_STUDENTS.items()]
            made += [at | {"statistic": name, "value": rng.random()} for name in ("gap", "kappa", "pgr")]
            slack = [(name, on) for name in figures.SLACKS for on in ("", TRAINING)]
            made += [at | {"statistic": name, "value": -rng.random(), "on": on} for name, on in slack]
            both = [(c, name) for c in ("explicit", "implicit") for name in EXPLAINED]
            made += [at | {"statistic": name, "value": rng.random(), "condition": c} for c, name in both]
    frame = per_seed(made)
    lines = [slopes(frame, (*EXPLAINED, "pgr"), *both) for both in GROWTH]
    return frame, pd.concat([summarise(frame, pooled=True), *lines], ignore_index=True)


def test_figures_say_what_they_show(frames):
    frame, results = frames
    cells = figures.columns_by_cell(frame, "misfit", "gain")
    assert len(cells) == 8
    below = (cells["gain"] < cells["misfit"]).sum()
    assert f"{below} lie below the line" in figures.misfit_and_gain(frame).alt
    drawn = [figures.staircase(frame), figures.calibration_bands(frame), figures.pythagoras(results)]
    drawn += [figures.alike_and_apart(frame), figures.rivals(results)]
    assert all(len(figure.alt) > 60 and figure.caption and "nan" not in figure.alt for figure in drawn)
    assert "fill: #ffffff" not in drawn[0].svg().split("</defs>")[0]
    assert f"{pick(results, 'pgr', 'none', per='gap_given_kappa')['value']:.2f}" in drawn[-1].alt
    beyond = pick(results, EXPLAINED[-1], "implicit", per="kappa_given_gap")["value"]
    assert f"DS − matched null implicit on kappa at equal gap: {beyond:.2f}" in drawn[-1].alt


def test_the_smoke_edition_has_every_row(study, lab):
    """One weak-strong pair: everything but slopes is defined, and nothing is trained."""
    from w2s_lib.findings.theory import theory

    before = lab.trained
    found = theory(study.on(lab))[1]
    assert lab.trained == before and not found.duplicated(["statistic", "on", "versus", "per", "condition"]).any()
    told = found[found["per"] == ""]
    assert told["value"].notna().mean() > 0.9 and found.loc[found["per"] != "", "value"].isna().all()
    seen = pick(found, "slack_heads_forward", "none", on=TRAINING)["value"]
    assert seen == pytest.approx(0, abs=1e-6) and pick(found, "slack_mixtures", "none", on=TRAINING)["value"] > -1e-6
    assert MATCHED in set(found["statistic"])
