"""Figures draw what they are given, say it in words, and carry no text of the page's theme."""

import re

import pytest

from w2s_lib.conditions import CONDITIONS
from w2s_lib.figures import style
from w2s_lib.figures.deception import deception_plane, excess, scores_and_nulls, tax_and_net_change, tax_by_quadrant
from w2s_lib.figures.diagram import who_sees_what
from w2s_lib.figures.ladder import knowing_and_ranking, knowledge_by_size, knowledge_map
from w2s_lib.figures.weak_to_strong import pgr_intervals, pgr_ladder
from w2s_lib.results import DECEPTION, GENERALIZATION, ladder_results, measure, pick, summarise

CONFLICTS = [name for name in CONDITIONS if name != "none"]


@pytest.fixture(scope="module")
def drawn(study, lab) -> dict[str, style.Figure]:
    none, conflicts = measure(study, lab, ["none"], GENERALIZATION), measure(study, lab, CONFLICTS, DECEPTION)
    pooled = summarise(conflicts, pooled=True)
    facts, ladder = ladder_results(study, lab)
    seeds = facts.assign(value=facts["p_true"] > 0.5).groupby(["model", "seed"], observed=True)["value"].mean().reset_index()
    weak, strong = study.edition.weak_strong[0]
    comparison = study.comparison(lab, study.edition.seeds[0], weak, strong, "implicit")
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
    }


def test_every_figure_has_an_alt_text_with_its_numbers_and_a_caption(drawn):
    for name, figure in drawn.items():
        assert len(figure.alt) > 60 and figure.caption, name
        assert re.search(r"\d", figure.alt), name


def test_alt_texts_state_the_numbers_of_the_frame(drawn, study, lab):
    pooled = summarise(measure(study, lab, CONFLICTS, DECEPTION), pooled=True)
    for condition in CONFLICTS:
        assert f"{condition} {pick(pooled, 'deception_score', condition)['value']:.2f}" in drawn["scores"].alt
        assert f"{condition} conflict tax {100 * pick(pooled, 'conflict_tax', condition)['value']:.1f}" in drawn["tax"].alt


def test_figures_are_transparent(drawn):
    for name, figure in drawn.items():
        svg = figure.svg()
        assert "fill: #ffffff" not in svg.split("</defs>")[0], f"{name} has a white background"
        assert "fill: #000000" not in svg and 'style="fill: #262626' not in svg, f"{name} has text that a dark page hides"


def test_the_same_figure_twice_is_the_same_file():
    assert who_sees_what(100, 200).svg() == who_sees_what(100, 200).svg()


def test_notebooks_get_svg_with_alt_and_caption(drawn):
    data, metadata = drawn["plane"]._repr_mimebundle_()
    assert data["image/svg+xml"].lstrip().startswith("<?xml") and data["text/plain"] == drawn["plane"].alt
    assert metadata["image/svg+xml"] == {"alt": drawn["plane"].alt, "caption": drawn["plane"].caption}


def test_every_condition_has_a_colour_and_a_mark_of_its_own():
    assert set(style.CONDITIONS) == set(style.MARKERS) == set(CONDITIONS)
    assert len(set(style.CONDITIONS.values())) == len(set(style.MARKERS.values())) == len(CONDITIONS)
