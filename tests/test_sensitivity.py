"""Thresholds and definitions of knowledge: only the counting changes; what the slider shows is what Python computes."""

import re
from dataclasses import replace
from itertools import product

import nbformat
import numpy as np
import pandas as pd
import pytest

from tests import planted
from w2s_lib.figures.sensitivity import by_definition, over_neighbours, over_threshold, reliability_diagram
from w2s_lib.figures.slider import DRAWN, SLIDER_THRESHOLDS, slider
from w2s_lib.findings.results import NAMES, difference, measure, read_results, summarise, usual
from w2s_lib.findings.sensitivity import (
    AT_EACH_THRESHOLD,
    DEFINITIONS,
    NEIGHBOURS_TRIED,
    ROLE_NAMES,
    beyond,
    by_neighbours,
    calibrate,
    calibration,
    calibration_error,
    defined,
    extent,
    grid,
    halves,
    log_odds,
    measure_at,
    oversure,
    own_thresholds,
    reliability,
    rescale,
    temperature,
    verdicts,
)
from w2s_lib.measures.metrics import Comparison, correct, known, quadrant, share

CONFLICTS = ["explicit", "implicit", "rerun", "placebo"]


def believable(n: int, seed: int = 0, sureness: float = 1.0) -> np.ndarray:
    """Probabilities of the true order under a model that is right as often as it says, its log-odds then stretched."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 2, n)
    return 1 / (1 + np.exp(-sureness * np.where(rng.random(n) < 1 / (1 + np.exp(-z)), z, -z)))


@pytest.fixture(scope="module")
def made_up() -> Comparison:
    """2,000 pairs on which a conflict student is unlike the baseline."""
    return Comparison(*(believable(2000, seed, s) for seed, s in enumerate((0.8, 2.0, 1.5, 1.0, 1.5))), threshold=0.75)


# Definitions


def test_the_edition_threshold_stands_in_the_grid_once():
    assert grid(0.75).count(0.75) == 1 and 0.52 in grid(0.52) and list(grid(0.52)) == sorted(set(grid(0.52)))
    assert min(grid(0.75)) == 0.5 and max(grid(0.75)) == 0.99


@pytest.mark.parametrize("stretch", [0.4, 1.0, 2.5])
def test_a_temperature_finds_how_much_a_model_was_stretched(stretch):
    assert temperature(believable(20_000, sureness=stretch)) == pytest.approx(stretch, rel=0.05)


def test_a_temperature_stays_finite_where_no_finite_one_is_best():
    assert 0.05 <= temperature(np.full(50, 0.9)) < 0.06 and 19 < temperature(np.full(50, 0.1)) <= 20


def test_no_pair_calibrates_itself():
    p, clusters = believable(400), np.repeat(np.arange(100), 4)
    half = halves(clusters)
    other = np.where(half == 1, rescale(p, 3.0), p)
    before, after = (
        log_odds(calibrate(p, clusters)) / log_odds(p),
        log_odds(calibrate(other, clusters)) / log_odds(other),
    )
    assert np.allclose(before[half == 1], after[half == 1]), "their temperature comes from the half that did not change"
    assert not np.allclose(before[half == 0], after[half == 0])
    assert all(len(set(half[clusters == c])) == 1 for c in range(100)), "clusters are not torn apart"


def test_halves_do_not_depend_on_the_order_of_the_pairs():
    clusters = np.array(["b", "a", "c", "a"])
    assert halves(clusters).tolist() == [1, 0, 0, 0] and halves(clusters[::-1]).tolist() == [0, 0, 0, 1]


def test_calibration_changes_who_is_sure_and_not_who_is_right():
    p = believable(500)
    assert (correct(calibrate(p, np.arange(500))) == correct(p)).all()
    assert np.isnan(calibrate(p, np.zeros(500))).all(), "one cluster cannot be cross-fitted"


def test_a_definition_touches_knowledge_and_nothing_else(made_up):
    for name in DEFINITIONS:
        other = defined(made_up, np.arange(2000), name)
        assert (
            (other.tax == made_up.tax).all()
            and (other.right == made_up.right).all()
            and other.independent is made_up.independent
        )
    sure = defined(made_up, np.arange(2000), "confidence > T")
    assert (known(sure.weak, 0.75) == ((made_up.weak > 0.75) | (made_up.weak < 0.25))).all()
    assert float(replace(sure, threshold=0.5).deception_score()) == 0.0


def test_measuring_at_a_threshold_is_measuring_a_study_at_it(study, lab):
    many = measure_at(study.on(lab), CONFLICTS, (0.5, 0.51, 0.6))
    for t in (0.5, 0.51, 0.6):
        one = measure(study.with_parameters(threshold=t).on(lab), CONFLICTS, AT_EACH_THRESHOLD)
        pd.testing.assert_frame_equal(many[many["threshold"] == t].reset_index(drop=True), one)
    assert lab.run(study.student_runs()) == 0


def test_definitions_have_a_column_of_their_own(study, lab):
    frame = pd.concat([measure_at(study.on(lab), CONFLICTS, (0.51,), name) for name in DEFINITIONS])
    assert set(zip(frame["knowledge"], frame["statistic"])) == set(
        product(("", "confidence", "calibrated"), AT_EACH_THRESHOLD)
    )
    assert len(usual(frame)) * 3 == len(frame) and not summarise(frame, pooled=True).duplicated(list(NAMES)).any()


def test_beyond_a_rerun_is_the_difference_at_each_threshold(study, lab):
    per_seed = measure_at(study.on(lab), CONFLICTS, (0.5, 0.51))
    rows = beyond(per_seed, ["explicit", "placebo"])
    against = {"condition": "placebo"}, {"condition": "rerun"}
    alone = difference(per_seed[per_seed["threshold"] == 0.51], "excess_margin_matched", "rerun", *against)
    pd.testing.assert_frame_equal(rows.iloc[[3]].reset_index(drop=True), alone)


def test_neighbours_are_varied_and_twenty_is_the_usual_number(study, lab):
    rows = by_neighbours(study.on(lab), ["explicit", "rerun"])
    assert not rows.duplicated(list(NAMES)).any() and len(rows) == 3 * len(NEIGHBOURS_TRIED)
    plain = summarise(measure(study.on(lab), ["explicit", "rerun"], ["excess_margin_matched"]), pooled=True)
    mine = usual(rows, statistic="excess_margin_matched_20")
    assert mine["value"].tolist() == pytest.approx(plain["value"].tolist(), nan_ok=True)
    assert "explicit minus rerun" in over_neighbours(rows, ["explicit", "rerun"]).alt


def test_words_count_intervals_and_survive_missing_ones():
    intervals = {"low": [0.05, -1, np.nan], "high": [0.2, 1, np.nan]}
    rows = planted.pooled({"statistic": "s", "condition": "c", "value": v} for v in (0.1, -0.001, np.nan)).assign(
        **intervals
    )
    rows = pd.concat([rows, planted.pooled([{"statistic": "s", "condition": "c", "versus": "rerun", "value": -9.0}])])
    assert verdicts(rows, "s", "c") == "▲ 1, ○ 1, ? 1"
    assert verdicts(rows, "s", "c", versus="rerun") == "▼ 1"
    assert extent(rows, "s", "c") == "0.00 to 0.10" and extent(rows, "s", "other") == "undefined"


def test_where_nothing_could_be_seen_no_interval_is_counted():
    """At the highest of three thresholds no student could reach 0.05; minus the rerun's, at the middle one neither."""
    about = [(0.6, 0.1, 0.4, 0.01), (0.9, 0.0, 0.2, 0.16), (0.99, 0.0, 0.04, 0.0)]
    rows = [
        {"threshold": t, "statistic": name, "value": value, "condition": condition}
        for t, excess, most, churn in about
        for name, value, condition in (
            ("excess_margin_matched", excess, "explicit"),
            ("attainable_margin_matched", most, "explicit"),
            ("excess_margin_matched", churn, "rerun"),
        )
    ]
    scores = planted.pooled(rows, 0.05)
    assert verdicts(scores, "excess_margin_matched", "explicit") == "▲ 1, ○ 1, – 1"
    minus = planted.pooled([{**row, "versus": "rerun"} for row in rows if row["statistic"].startswith("excess")], 0.05)
    assert verdicts(minus, "excess_margin_matched", "explicit", "rerun", scores) == "▲ 1, – 2"
    assert verdicts(minus, "excess_margin_matched", "explicit", "rerun", scores[:0]) == "▲ 1, ○ 2"


# Calibration


def test_a_calibrated_model_has_a_small_error_and_a_stretched_one_a_large_one():
    assert calibration_error(believable(50_000)) < 0.01 and abs(oversure(believable(50_000))) < 0.01
    assert calibration_error(believable(50_000, sureness=3)) > 0.08 and oversure(believable(50_000, sureness=3)) > 0.08
    assert oversure(believable(50_000, sureness=0.3)) < -0.08


def test_the_calibration_error_is_the_mean_distance_in_the_diagram():
    p = believable(300)
    curve = reliability(p)
    by_hand = np.average(abs(curve["confidence"] - curve["accuracy"]), weights=curve["pairs"])
    assert calibration_error(p) == pytest.approx(by_hand) and curve["pairs"].sum() == 300


@pytest.mark.parametrize("statistic", [calibration_error, oversure])
def test_weights_are_repetitions(statistic):
    p, weights = believable(60), np.random.default_rng(1).integers(0, 4, (3, 60))
    again = [statistic(np.repeat(p, w)) for w in weights]
    assert np.allclose(statistic(p, weights.astype(float)), again)


def test_calibration_is_reported_by_role(study, lab):
    curves, per_seed = calibration(study.on(lab))
    rows = summarise(per_seed, pooled=True)
    assert set(rows["statistic"]) == {
        f"{name}{role}" for name in ("calibration_error_", "overconfidence_") for role in ROLE_NAMES
    }
    assert (rows["condition"] == "none").all() and not rows.duplicated(list(NAMES)).any()
    assert set(curves["role"]) == set(ROLE_NAMES)


def test_a_temperature_is_a_threshold_of_ones_own(study, lab):
    for row in own_thresholds(study.on(lab), study.edition.seeds[0]).itertuples():
        p = believable(100)
        assert (known(rescale(p, row.temperature), study.edition.threshold) == known(p, row.own_threshold)).all()


# Figures


@pytest.fixture(scope="module")
def rows(study, lab) -> dict[str, pd.DataFrame]:
    T, (curves, errors) = study.edition.threshold, calibration(study.on(lab))
    definitions = pd.concat([measure_at(study.on(lab), CONFLICTS, [T], name) for name in DEFINITIONS])
    return {
        "scores": summarise(measure_at(study.on(lab), CONFLICTS, grid(T)), pooled=True),
        "definitions": summarise(definitions, pooled=True),
        "curves": curves, "errors": summarise(errors, pooled=True),
    }  # fmt: skip


def draw(rows: dict[str, pd.DataFrame], T: float) -> dict:
    return {
        "scores": over_threshold(
            rows["scores"], CONFLICTS, T, ["deception_score", "null_random", "null_margin_matched"]
        ),
        "excess": over_threshold(rows["scores"], CONFLICTS, T, ["excess_margin_matched"]),
        "lift": over_threshold(rows["scores"], CONFLICTS[:3], T, ["lift"]),
        "definitions": by_definition(rows["definitions"], CONFLICTS),
        "reliability": reliability_diagram(rows["curves"], rows["errors"]),
    }


def test_figures_say_their_numbers_and_are_transparent(rows, study):
    for name, figure in draw(rows, study.edition.threshold).items():
        assert len(figure.alt) > 60 and figure.caption and re.search(r"\d", figure.alt), name
        svg = figure.svg()
        assert (
            "fill: #ffffff" not in svg.split("</defs>")[0]
            and "fill: #000000" not in svg
            and 'style="fill: #262626' not in svg
        ), name


def test_figures_are_drawn_where_nothing_is_defined(rows, study):
    nothing = {
        name: frame.assign(**{c: np.nan for c in ("value", "low", "high") if c in frame})
        for name, frame in rows.items()
    }
    for name, figure in draw(nothing, study.edition.threshold).items():
        assert figure.svg() and ("undefined" in figure.alt), name


# The slider


def test_the_slider_holds_what_python_computes(made_up):
    shown = slider(made_up, "explicit", "made up")
    assert [s["T"] for s in shown.states] == [f"{t:.2f}" for t in SLIDER_THRESHOLDS] and len(SLIDER_THRESHOLDS) == 50
    for state, t in zip(shown.states, SLIDER_THRESHOLDS):
        c = replace(made_up, threshold=t)
        q = quadrant(c.ceiling, c.weak, t)
        assert state["scores"] == pytest.approx(
            [float(c.deception_score()), float(c.null("random")), float(c.null("margin_matched"))], abs=1e-6
        )
        assert state["taxed"] == pytest.approx([float(share(q == i, c.tax)) for i in range(4)], abs=1e-6)
        assert state["right"][1] == state["scores"][1] and state["taxed"][1] == state["scores"][0], (
            "the area's row is DS and null"
        )


def test_the_slider_says_how_many_dots_it_draws(made_up):
    text = slider(made_up, "explicit", "made up").html
    n, dots = int(made_up.right.sum()), text.count("h0")
    assert dots == DRAWN < n and f"Drawn: {DRAWN} of the {n}" in text
    few = made_up.among(np.arange(2000) < 300)
    assert "Drawn:" not in slider(few, "explicit", "few").html


def test_the_slider_escapes_and_asks_nobody(made_up):
    text = slider(made_up, "explicit", "<script>alert('a')</script>$id & more").html
    assert "<script>alert" not in text and "&lt;script&gt;" in text and "$id &amp; more" in text
    assert not re.search(r"https?:|src=|@import|url\(", text), "nothing is loaded"
    assert text.count("<script") == 2 and "@media print" in text and "<noscript>" in text


def test_every_slider_has_ids_of_its_own(made_up):
    ids = [re.findall(r'\bid="([^"]+)"', slider(made_up, "explicit", "twice").html) for _ in range(2)]
    assert len(set(ids[0] + ids[1])) == len(ids[0] + ids[1]) == 4


def test_a_slider_starts_at_the_threshold_of_the_edition(made_up):
    shown = slider(replace(made_up, threshold=0.755), "explicit", "between")
    assert len(shown.states) == 51 and 'aria-valuetext="T = 0.755"' in shown.html and repr(shown) == shown.says


def test_a_slider_without_tax_is_undefined_and_not_broken(made_up):
    shown = slider(replace(made_up, conflict=made_up.baseline), "rerun", "no tax")
    assert all(s["scores"] == [None, None, None] for s in shown.states)
    assert "undefined" in shown.html and "NaN" not in shown.html and "nan" not in shown.html


def opened(browser, folder, text: str, **context):
    """A page with this text from the file system, and what it complained about or asked for."""
    (folder / "page.html").write_text(
        f'<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">{text}',
        encoding="utf-8",
    )
    page, trouble = browser.new_context(**context).new_page(), []
    page.on("console", lambda m: trouble.append(m.text))
    page.on("pageerror", lambda e: trouble.append(str(e)))
    page.on("request", lambda r: None if r.url.startswith("file:") else trouble.append(r.url))
    page.goto((folder / "page.html").as_uri())
    return page, trouble


def test_moving_the_slider_shows_the_numbers_of_that_threshold(browser, tmp_path, made_up):
    page, trouble = opened(
        browser, tmp_path, slider(made_up, "explicit", "one").html + slider(made_up, "rerun", "two").html
    )
    first = page.locator(".threshold-slider").first
    seen = set()
    for t in (0.5, 0.6, 0.75, 0.9, 0.99):
        first.locator("input").fill(str(SLIDER_THRESHOLDS.index(t)))
        c = replace(made_up, threshold=t)
        told = [float(x) for x in first.locator("dd.score").all_inner_texts()]
        assert told == pytest.approx(
            [float(c.deception_score()), float(c.null("random")), float(c.null("margin_matched"))], abs=0.0051
        )
        area = [float(x) for x in first.locator("tbody tr").first.locator("td").all_inner_texts()]
        assert area == pytest.approx([told[1], told[0]])
        assert first.locator("output").inner_text() == f"{t:.2f}"
        assert first.locator("input").get_attribute("aria-valuetext") == f"T = {t:.2f}"
        seen.add(
            (
                *told,
                first.locator("line.weak").get_attribute("x1"),
                first.locator(".placed").first.get_attribute("transform"),
            )
        )
    assert len(seen) == 5, "numbers, lines and marks move"
    assert page.locator("output").nth(1).inner_text() == "0.75", "the other slider stays where it was"
    assert not trouble


def test_the_slider_obeys_the_keyboard(browser, tmp_path, made_up):
    page, trouble = opened(browser, tmp_path, slider(made_up, "explicit", "keys").html)
    page.get_by_label("Threshold T").focus()
    for key, says in (("ArrowRight", "0.76"), ("ArrowLeft", "0.75"), ("End", "0.99"), ("Home", "0.50")):
        page.keyboard.press(key)
        assert page.locator("output").inner_text() == says
    assert not trouble


def test_undefined_numbers_are_said_and_their_marks_hidden(browser, tmp_path, made_up):
    page, trouble = opened(
        browser, tmp_path, slider(replace(made_up, conflict=made_up.baseline), "rerun", "no tax").html
    )
    page.locator("input").fill("10")
    assert page.locator("dd.score").first.inner_text() == "undefined" and not trouble
    assert page.locator(".placed").first.get_attribute("visibility") == "hidden"


def test_the_slider_fits_a_phone_and_is_printed_as_it_stands(browser, tmp_path, made_up):
    page, _ = opened(
        browser, tmp_path, slider(made_up, "explicit", "narrow").html, viewport={"width": 360, "height": 700}
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.emulate_media(media="print")
    assert page.locator(".threshold-slider svg").first.is_visible() and page.locator("dd.score").first.is_visible()
    assert not page.locator("input").is_visible(), "paper has no knobs"


def test_without_scripts_the_numbers_stand_and_a_line_says_where_to_look(browser, tmp_path, made_up):
    page, _ = opened(browser, tmp_path, slider(made_up, "explicit", "quiet").html, java_script_enabled=False)
    assert page.locator("dd.score").first.inner_text() == f"{float(made_up.deception_score()):.2f}"
    assert page.locator("noscript p").is_visible() and page.locator("input").is_disabled()


# The chapter


def test_the_chapter_publishes_each_row_once_and_shows_the_slider(build_folder):
    rows = read_results(build_folder / "book" / "results" / "09_sensitivity.csv")
    assert not rows.duplicated(["chapter", *NAMES]).any()
    assert {*AT_EACH_THRESHOLD, *(f"calibration_error_{r}" for r in ROLE_NAMES)} <= set(usual(rows)["statistic"])
    assert set(usual(rows, statistic="lift", knowledge=None)["knowledge"]) == {"", "confidence", "calibrated"}
    assert usual(rows, statistic="deception_score")["threshold"].nunique() >= 12
    notebook = nbformat.read(build_folder / "book" / "source" / "notebooks" / "09_sensitivity.ipynb", as_version=4)
    shown = [
        o["data"]["text/html"] for c in notebook.cells for o in c.get("outputs", []) if "text/html" in o.get("data", {})
    ]
    assert sum("threshold-slider" in text for text in shown) == 1
