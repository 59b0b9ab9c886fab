"""Figures draw what they are given, say it in words, and carry no text of the page's theme."""

import colorsys
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb

from w2s_lib.figures import claims, rows, style
from w2s_lib.figures.conflict import deception_plane, excess, scores_and_nulls, tax_and_net_change, tax_by_quadrant
from w2s_lib.figures.controls import NULL_STEPS, stairs, tax_by_condition
from w2s_lib.figures.diagram import who_sees_what
from w2s_lib.figures.gap import heat_maps, trend
from w2s_lib.figures.generalization import pgr_intervals, pgr_ladder
from w2s_lib.figures.ladder import knowing_and_ranking, knowledge_by_size, knowledge_map
from w2s_lib.figures.mechanism import boundary, dose, fixed_points, threshold_and_alpha
from w2s_lib.figures.mitigations import bootstrapping, every_mitigation
from w2s_lib.figures.policies import by_method, tax_and_scores, words_and_rankings
from w2s_lib.figures.positive_controls import planted_students, shares, what_it_sees
from w2s_lib.figures.real_texts import side_by_side
from w2s_lib.findings.claims import ledger
from w2s_lib.findings.ladder import ladder_results
from w2s_lib.findings.positive_controls import SEEN, observed, positive_controls
from w2s_lib.findings.results import measure, pick, say, summarise
from w2s_lib.findings.statistics import DECEPTION, GENERALIZATION
from w2s_lib.study.conditions import CONDITIONS, CORE

CONFLICTS = [name for name in CORE if name != "none"]


@pytest.fixture(scope="module")
def drawn(study, lab, findings, published) -> dict[str, style.Figure]:
    none, conflicts = measure(study.on(lab), ["none"], GENERALIZATION), measure(study.on(lab), CONFLICTS, DECEPTION)
    pooled = summarise(conflicts, pooled=True)
    facts, ladder = ladder_results(study.on(lab))
    seeds = (
        facts.assign(value=facts["p_true"] > 0.5)
        .groupby(["model", "seed"], observed=True)["value"]
        .mean()
        .reset_index()
    )
    weak, strong = study.edition.weak_strong[0]
    comparison = study.on(lab).comparison(study.edition.seeds[0], weak, strong, "implicit")
    (grid, gap), (policies, policy_results) = map(findings, ("06_capability_gap", "12_preference_optimisation"))
    doubts, doses = published["07_nulls_and_controls"], published["08_mechanism"]
    helps, spoken = published["13_what_helps"], published["24_policies_speak"]
    planted, real = positive_controls(study.on(lab), students=10)[1], observed(study.on(lab))[1]
    alphas, threshold = study.edition.alphas, study.edition.threshold
    return {
        "diagram": who_sees_what(100, 200),
        "knowledge_map": knowledge_map(facts, bins=10),
        "knowledge_by_size": knowledge_by_size(seeds, ladder[ladder["statistic"] == "facts_known"]),
        "knowing_and_ranking": knowing_and_ranking(ladder),
        "pgr_ladder": pgr_ladder(none, summarise(none)),
        "pgr_intervals": pgr_intervals(summarise(none), pick(summarise(none, pooled=True), "pgr", "none")),
        "plane": deception_plane(comparison, "implicit"),
        "tax": tax_and_net_change(pooled, CONFLICTS),
        "quadrants": tax_by_quadrant(pooled, CONFLICTS),
        "scores": scores_and_nulls(pooled, CONFLICTS),
        "excess": excess(pooled, CONFLICTS),
        "heat": heat_maps(gap, "explicit", ["deception_score", "null_margin_matched", "excess_margin_matched"]),
        "trend": trend(grid, gap, "deception_score", CONFLICTS),
        "side_by_side": side_by_side(
            {"world": pooled, "fine-tuned": pooled[pooled["condition"] != "placebo"]}, CONFLICTS
        ),
        "stairs": stairs(doubts, ["explicit", "implicit"]),
        "taxes": tax_by_condition(
            doubts, [("explicit", None), ("gold_explicit", study.edition.alpha), ("gold_explicit", 2.0)]
        ),
        "planted": planted_students(comparison, 0),
        "seen": what_it_sees(planted, real, "explicit"),
        "shares": shares({"world": real}, CONFLICTS),
        "fixed_points": fixed_points(alphas),
        "boundary": boundary(doses, alphas),
        "dose": dose(doses, alphas, threshold),
        "threshold_and_alpha": threshold_and_alpha(doses),
        "policies": by_method(policies, policy_results),
        "policy_taxes": tax_and_scores(policy_results),
        "words": words_and_rankings(spoken),
        "forest": every_mitigation(helps),
        "steps": bootstrapping(helps),
        "ledger": claims.ledger(ledger(published)),
    }


def test_every_figure_has_an_alt_text_with_its_numbers_and_a_caption(drawn):
    for name, figure in drawn.items():
        assert len(figure.alt) > 60 and figure.caption, name
        assert re.search(r"\d", figure.alt), name


def test_alt_texts_state_the_numbers_of_the_frame(drawn, study, lab):
    pooled = summarise(measure(study.on(lab), CONFLICTS, DECEPTION), pooled=True)
    for condition in CONFLICTS:
        assert f"{condition} {pick(pooled, 'deception_score', condition)['value']:.2f}" in drawn["scores"].alt
        tax = say(pick(pooled, "conflict_tax", condition), percent=True)
        assert f"{condition} {tax}" in drawn["tax"].alt.partition("net change")[0]


def test_the_stairs_can_be_built_up_step_by_step(published):
    rows = published["07_nulls_and_controls"]
    few, all_of_them = stairs(rows, ["explicit"], upto=2), stairs(rows, ["explicit"])
    assert NULL_STEPS[1][0].strip() in few.alt and NULL_STEPS[2][0].strip() not in few.alt
    assert all(name.strip(" …") in all_of_them.alt for name, _ in NULL_STEPS)


def test_what_could_be_seen_is_said_of_every_statistic_alone_and_beyond_a_rerun(drawn):
    said = drawn["seen"].alt
    assert all(f"{title} {where}: " in said for title in SEEN.values() for where in ("alone", "beyond a rerun"))
    assert "nan" not in said.replace("observed nan", ""), "a power that is not defined is a dash"


def test_a_study_keeps_its_colour_and_lacks_a_mark_where_it_lacks_a_condition(drawn):
    figure, said = drawn["side_by_side"], drawn["side_by_side"].alt
    colours = {
        text.get_text(): handle
        for text, handle in zip(figure.canvas.legends[0].get_texts(), figure.canvas.legends[0].legend_handles)
    }
    assert {name: to_hex(handle.get_facecolor()[0]).upper() for name, handle in colours.items()} == {
        name: style.STUDIES[name].upper() for name in ("world", "fine-tuned")
    }
    assert "placebo" in said.partition("tax, fine-tuned")[0] and said.count("placebo") == 3


@pytest.fixture(scope="module")
def files(drawn) -> dict[str, str]:
    """What a page gets of each figure."""
    return {name: figure.svg() for name, figure in drawn.items()}


def test_figures_are_transparent(files):
    for name, svg in files.items():
        assert "fill: #ffffff" not in svg.split("</defs>")[0], f"{name} has a white background"
        if name not in ("heat", "threshold_and_alpha"):  # their numbers stand on coloured cells, not on the page
            assert "fill: #000000" not in svg and 'style="fill: #262626' not in svg, (
                f"{name} has text that a dark page hides"
            )


def test_the_same_figure_twice_is_the_same_file():
    assert who_sees_what(100, 200).svg() == who_sees_what(100, 200).svg()


def test_notebooks_get_svg_with_alt_and_caption(drawn):
    data, metadata = drawn["plane"]._repr_mimebundle_()
    assert data["image/svg+xml"].lstrip().startswith("<?xml") and data["text/plain"] == drawn["plane"].alt
    assert metadata["image/svg+xml"] == {"alt": drawn["plane"].alt, "caption": drawn["plane"].caption}


@pytest.mark.parametrize(
    ("n_seeds", "says"),
    [
        ((1, 1), "clusters of pairs"),
        ((3, 1), "seeds, or over clusters of pairs where there is one"),
        ((3, 3), "seeds"),
        ((), "seeds"),
    ],
)
@pytest.mark.parametrize("bars", [False, True])
def test_a_caption_says_over_what_the_intervals_are_that_are_shown(n_seeds, says, bars):
    """An edition of one seed has none over seeds; a record that it is held against has."""
    figure, ax = style.canvas()
    for y, n in enumerate(n_seeds):
        row = pd.Series({"value": 0.1, "low": 0.0, "high": 0.2, "n_seeds": n})
        rows.bars(ax, [y], [row], "explicit") if bars else rows.dot(ax, y, row)
    _, metadata = style.Figure(figure, "Dots.", "Bars: 95 % intervals over seeds.")._repr_mimebundle_()
    assert metadata["image/svg+xml"]["caption"] == f"Bars: 95 % intervals over {says}."


def test_every_condition_has_a_colour_and_a_mark_of_its_own():
    assert set(style.CONDITION_COLOURS) == set(style.MARKERS) == set(CONDITIONS)
    assert len(set(style.CONDITION_COLOURS.values())) == len(set(style.MARKERS.values())) == len(CONDITIONS)


DARK = 0.006
"""Relative luminance of a dark page, #121212."""


def turned_over(colour: tuple[float, ...]) -> tuple[float, ...]:
    """What a browser makes of a colour by ``invert(1) hue-rotate(180deg)`` (Filter Effects, matrices of both)."""
    weights = np.array([0.213, 0.715, 0.072])
    turn = 2 * np.tile(weights, (3, 1)) - np.eye(3)
    return tuple(np.clip(turn @ (1 - np.array(colour)), 0, 1))


def test_words_are_read_on_white_and_on_dark_pages(files):
    """WCAG 2.2, 1.4.3: a contrast of 4.5."""
    seen = set()
    for name, svg in files.items():
        groups = re.findall(r'<g id="text_\d+">.*?</g>', svg, re.S)
        colours = set(re.findall(r"fill: (#[0-9a-f]{6})", " ".join(groups)))
        assert groups, name
        for colour in colours - {"#ffffff"}:  # white words stand on dark cells of their own
            light, dark = style.luminance(colour)[1], style.luminance(turned_over(to_rgb(colour)))[1]
            assert 1.05 / (light + 0.05) >= 4.5 and (dark + 0.05) / (DARK + 0.05) >= 4.5, (name, colour)
        seen |= colours
    assert len(seen) > 4, "grey words and coloured ones"


@pytest.mark.parametrize(
    "colour", [*style.CONDITION_COLOURS.values(), *style.ROLE_COLOURS.values(), *style.STUDIES.values()]
)
def test_a_colour_keeps_its_hue_where_it_becomes_words(colour):
    words = style.readable_colour(colour)
    assert style.luminance(words)[1] <= style.LIGHTEST + 1e-9
    hue = colorsys.rgb_to_hsv(*to_rgb(colour))[0] - colorsys.rgb_to_hsv(*words)[0]
    assert min(abs(hue), 1 - abs(hue)) < 0.03 and style.readable_colour(words) == pytest.approx(words)
