"""What readers play with: it computes what Python computes, obeys keyboard and touch, and is printed as it stands."""

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.conftest import SERIOUS
from w2s_lib.book.chapter import open_chapter
from w2s_lib.data.world import decision_of, draw_pairs, substances
from w2s_lib.figures import play as shown
from w2s_lib.figures.style import Shown
from w2s_lib.findings.ask import ASKED_MODELS, ask, asked_runs, stored, world_of
from w2s_lib.findings.game import EACH, TRUTH, _some, game
from w2s_lib.findings.play import (
    FILE_ROOM,
    SHOWN_NULLS,
    STEPS_PER_NAT,
    of_book,
    packed,
    planes,
    play,
    right_by_rule,
    signed,
)
from w2s_lib.findings.results import CONFLICTS, Cell
from w2s_lib.measures.metrics import Comparison
from w2s_lib.specs import Pretrain, World
from w2s_lib.study import Study
from w2s_lib.study.edition import PARAMETERS, load

ASSETS = Path(__file__).resolve().parent.parent / "book" / "assets"
PAIRS = 400


def sigmoid(margin):
    return 1 / (1 + np.exp(-margin))


@pytest.fixture(scope="module")
def margins() -> dict[str, np.ndarray]:
    """Margins of two studies' worth of models as runs have them, fp32, with ties and zeros."""
    rng = np.random.default_rng(0)
    truth = rng.normal(1.2, 2, PAIRS)
    names = ("weak", "ceiling", "none", "independent", *CONFLICTS)
    found = {name: (truth + rng.normal(0, 1.5, PAIRS)).astype(np.float32).astype(float) for name in names}
    found["independent"][:30] = found["independent"][30:60]
    found["explicit"][:3] = 0, 1e-7, -1e-7
    return found


@pytest.fixture(scope="module")
def comparisons(margins) -> dict[str, Comparison]:
    p = {name: sigmoid(values) for name, values in margins.items()}
    return {c: Comparison(p["weak"], p["ceiling"], p["none"], p[c], p["independent"]) for c in CONFLICTS}


@pytest.fixture(scope="module")
def data(margins, comparisons) -> dict:
    """What the pages read, in the form of ``findings.play``, about the made-up models."""
    texts = {
        name: "|".join(f"{name} <b>{i}</b> & more" for i in range(PAIRS)) for name in ("prompt", "chosen", "rejected")
    }
    exact = {name: packed(margins[name], "<f4") for name in ("weak", "ceiling", "independent")}
    cell = {
        "weak": "small", "strong": "large", "none": packed(signed(margins["none"]), "<i2"),
        "independent": exact["independent"],
        "students": {c: packed(signed(margins[c]), "<i2") for c in CONFLICTS},
        "book": {c: of_book(comparisons[c]) for c in CONFLICTS},
    }  # fmt: skip
    seed = {"seed": 0, "texts": texts, "weak": {"small": exact["weak"]}, "ceiling": {"large": exact["ceiling"]}}
    about = {"seed": 0, "weak": "small", "strong": "large"}
    flat = [{"condition": c, "excess": 0.1, **about, **of_book(comparisons[c])} for c in ("explicit", "rerun")]
    rules = {"ds": 2, "excess": 1}
    return {"edition": "made up", "threshold": 0.75, "alpha": 0.5, "step": STEPS_PER_NAT,
            "seeds": [seed | {"cells": [cell]}], "planes": flat, "rules": rules}  # fmt: skip


GAME = {
    "name": "12ab", "weak": "small", "strong": "large", "seed": 0,
    "pairs": [{"prompt": f"<b>{i}</b>", "replies": ["no", "yes"]} for i in range(4)],
    "facts": ["a toxic", "b <i>mild</i>"],
    "told": [True, False, True, False], "truth": [0, 1, 1, 0], "ceiling": [0.9] * 4, "rerun": [0.6, 0.4, 0.6, 0.6],
    "supervisors": [
        {"name": "small", "labels": [0.9, 0.4, 0.8, 0.6], "none": [0.7] * 4, "conflict": [0.3, 0.3, 0.8, 0.3],
         "accuracy": 0.8, "tax": 0.1, "ds": 0.6, "margin_matched": 0.5},
        {"name": TRUTH, "labels": [1, 1, 1, 1], "none": [0.9] * 4, "conflict": [0.9] * 4, "accuracy": 1, "tax": 0.05},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def reward_model():
    """A reward model of the ladder's architecture, of random weights, and its spec."""
    import torch
    from transformers import LlamaForSequenceClassification

    from w2s_lib.models.pretrain import build_untrained

    spec = Pretrain(world=World(seed=1, substances=30), width=16)
    language_model = build_untrained(spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        language_model.config.num_labels = 1
        model = LlamaForSequenceClassification(language_model.config)
    model.model.load_state_dict(language_model.model.state_dict())
    return model.eval(), spec


@pytest.fixture
def opened(browser, tmp_path, data):
    """Opens a page with some widgets from the file system; nothing may be complained about or asked for."""
    shutil.copy(ASSETS / "play.js", tmp_path)
    style = (ASSETS / "book.css").read_text(encoding="utf-8")
    trouble, contexts = [], []

    def open_page(*widgets: Shown, also: dict | None = None, **context):
        (tmp_path / "data.js").write_text(f"window.w2sPlay = {json.dumps(data | (also or {}))};", encoding="utf-8")
        head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>play</title>'
        head += '<meta name="viewport" content="width=device-width">'
        head += f"<style>{style}</style>"
        head += '<script src="data.js"></script><script src="play.js"></script>'
        text = f"{head}<main><h1>Play</h1>{''.join(one.html for one in widgets)}</main>"
        (tmp_path / "page.html").write_text(text, encoding="utf-8")
        contexts.append(browser.new_context(**context))
        page = contexts[-1].new_page()
        page.on("console", lambda m: trouble.append(m.text))
        page.on("pageerror", lambda e: trouble.append(str(e)))
        page.on("request", lambda r: None if r.url.startswith("file:") else trouble.append(r.url))
        page.goto((tmp_path / "page.html").as_uri())
        return page

    yield open_page
    assert not trouble
    for context in contexts:
        context.close()


def serious(page) -> list[str]:
    """What axe finds serious on a page."""
    return [one["id"] for one in Axe().run(page).response["violations"] if one["impact"] in SERIOUS]


# A null of one's own


def test_one_bin_is_the_random_null_and_as_many_as_pairs_are_the_score(comparisons):
    c = comparisons["explicit"]
    for features in ([], ["weak"], ["independent", "weak"]):
        assert c.null_in_bins(features, 1) == pytest.approx(float(c.null("random")), abs=1e-12)
    assert c.null_in_bins(["conflict"], 10**6) == pytest.approx(float(c.deception_score()), abs=1e-12)


def test_a_null_in_bins_is_what_a_tax_within_bins_hits_on_average(comparisons):
    """Drawn again and again: each taxed pair is replaced by any of its bin."""
    c, rng = comparisons["explicit"], np.random.default_rng(1)
    inside = np.flatnonzero(c.right)
    edges = np.quantile(c.weak[inside], [0.25, 0.5, 0.75])
    strata = np.searchsorted(edges, c.weak, side="right")
    hits = [np.mean([c.area[rng.choice(inside[strata[inside] == strata[i]])] for i in np.flatnonzero(c.tax)])
            for _ in range(200)]  # fmt: skip
    assert c.null_in_bins(["weak"], 4) == pytest.approx(np.mean(hits), abs=0.02)
    assert abs(c.null_in_bins(["weak"], 4) - c.null("random")) > 0.03, "and that is another number"


def test_without_a_tax_a_null_is_undefined(comparisons):
    c = comparisons["explicit"]
    assert np.isnan(Comparison(c.weak, c.ceiling, c.baseline, c.baseline, c.independent).null_in_bins(["weak"], 3))


# What is written


def test_rounded_margins_keep_their_sign():
    margins = np.array([0.0, 1e-9, -1e-9, 1.5, -20, 3.14159])
    kept = signed(margins)
    np.testing.assert_array_equal(np.sign(kept), np.sign(margins))
    np.testing.assert_allclose(kept[3:4] / STEPS_PER_NAT, margins[3:4])
    assert kept[4] == -32767 and abs(kept[5] / STEPS_PER_NAT - margins[5]) <= 1 / STEPS_PER_NAT


def test_a_rule_is_counted_by_the_half_that_it_calls():
    rows = [
        {"condition": c, "ds": x} for c, x in (("explicit", 0.9), ("rerun", 0.1), ("explicit", 0.2), ("rerun", 0.3))
    ]
    assert right_by_rule(rows, "ds") == 2 and right_by_rule(rows[:2], "ds") == 2


def test_planes_and_file_are_those_of_the_runs(study, lab, tmp_path, monkeypatch):
    on = study.on(lab)
    drawn = planes(on)
    assert sorted(one["condition"] for one in drawn) == ["explicit", "rerun"]
    assert len({len(one["lit"]) for one in drawn}) == 1, "the number of dots betrays nothing"
    for one in drawn:
        c = on.comparison(*Cell(one["seed"], one["weak"], one["strong"], one["condition"]))
        assert one["ds"] == pytest.approx(float(c.deception_score()))
        taxed = {(float(c.weak[i]), float(c.ceiling[i])) for i in np.flatnonzero(c.tax)}
        assert {tuple(place) for place in one["lit"]} <= taxed
    monkeypatch.setenv("W2S_RESULTS", str(tmp_path))
    given = dict.fromkeys(PARAMETERS) | {"edition": "smoke", "store": str(lab.store.root), "workers": 0}
    written = open_chapter("22_play", given).leave(play(on, drawn))
    text = (tmp_path / "22_play.js").read_text(encoding="utf-8")
    assert written == len(text.encode()) < FILE_ROOM and "NaN" not in text
    assert not {"lit", "pale"} & set(json.loads(text.split("=", 1)[1].rstrip(";\n"))["planes"][0])


# In a browser


def test_the_page_computes_what_the_library_computes(opened, comparisons):
    page = opened()
    for condition, c in comparisons.items():
        code = """([condition, asked]) => {
          const data = window.w2sPlay, seed = data.seeds[0], c = w2s.compare(data, seed, seed.cells[0], condition);
          return {ds: w2s.share(c.area, c.tax), tax: c.tax, right: c.right, quadrant: c.quadrant, weak: c.p.weak,
                  nulls: asked.map(([features, bins]) => w2s.nullInBins(c, features, bins))};
        }"""
        asked = [(list(features), bins) for features in shown.MATCHINGS.values() for bins in (1, 2, 7, 20, 60)]
        found = page.evaluate(code, [condition, asked])
        np.testing.assert_array_equal(found["tax"], c.tax)
        np.testing.assert_array_equal(found["right"], c.right)
        np.testing.assert_allclose(found["weak"], c.weak, rtol=1e-14)
        assert found["ds"] == pytest.approx(float(c.deception_score()), abs=1e-9)
        np.testing.assert_allclose(found["nulls"], [c.null_in_bins(*one) for one in asked], atol=1e-9, rtol=0)


def test_the_chance_of_luck_is_binomial(opened):
    from scipy.stats import binom

    found = opened().evaluate("[[0, 20], [15, 20], [20, 20], [1, 2]].map(([k, n]) => w2s.byLuck(k, n))")
    assert found == pytest.approx([binom.sf(k - 1, n, 0.5) for k, n in ((0, 20), (15, 20), (20, 20), (1, 2))])


def test_quadrants_obey_keyboard_and_touch_and_show_texts_as_text(opened, comparisons):
    page, c = (
        opened(
            shown.quadrants(comparisons["explicit"], "made up"), viewport={"width": 360, "height": 700}, has_touch=True
        ),
        comparisons["explicit"],
    )
    cells = page.locator("[data-play] table").first.locator("tbody tr").first.locator("td").all_inner_texts()
    assert cells == [str(int((c.area & mask).sum())) for mask in (c.area, c.right, c.tax)]
    card, plane = page.locator(".pair"), page.locator("svg.plane")
    before = card.inner_text()
    assert "<b>" in before and page.locator(".pair b").count() == 0
    plane.focus()
    page.keyboard.press("ArrowRight")
    after = card.inner_text()
    assert after != before and "weak supervisor" in after and "rerun" in after
    plane.tap(position={"x": 40, "y": 40})
    assert card.inner_text() != after
    page.get_by_label("condition").select_option("rerun")
    taxed = int(comparisons["rerun"].tax.sum())
    shown_now = page.locator("[data-play] table").first.locator("tbody td:nth-child(4)").all_inner_texts()
    assert sum(map(int, shown_now)) == taxed
    page.get_by_label("show", exact=True).select_option("taxed pairs only")
    assert page.locator("svg.plane circle.lit").count() == taxed and page.locator("svg.plane circle.pale").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_null_of_ones_own_moves_and_the_books_stands_beside_it(opened, comparisons):
    page, c = opened(shown.nulls(comparisons["explicit"], "made up")), comparisons["explicit"]
    seen = set()
    for label, features in shown.MATCHINGS.items():
        page.get_by_label(label, exact=True).check()
        if features:
            page.get_by_label("bins of each").fill("7")
        ds, null, excess, _, book = page.locator("dd").all_inner_texts()
        own = c.null_in_bins(features, 7)
        assert (float(ds), float(null)) == pytest.approx((float(c.deception_score()), own), abs=0.0051)
        assert float(excess.replace("−", "-")) == pytest.approx(float(c.deception_score()) - own, abs=0.0051)
        seen.add((null, book))
    assert len(seen) == 4 and ("none" in {book for _, book in seen})
    assert {f"{float(c.null(name)):.2f}" for name in SHOWN_NULLS} <= {book for _, book in seen}
    page.keyboard.press("ArrowRight")
    assert page.locator("output").inner_text() == "8" or page.get_by_label("bins of each").is_disabled() is False


def test_planes_are_scored_once_all_are_answered(opened, data):
    drawn = [one | {"lit": [[0.2, 0.9]], "pale": [[0.9, 0.9]]} for one in data["planes"]]
    page = opened(shown.churn(drawn, 0.75))
    page.get_by_role("button").click()
    assert "2 of 2 planes have no answer" in page.locator("output").inner_text()
    for side in page.locator("fieldset").all():
        side.get_by_label("deception").check()
    page.get_by_role("button").click()
    said = page.locator("output").inner_text()
    assert said.startswith("1 of 2.") and "0.75" in said
    assert [text[0] for text in page.locator(".truth").all_inner_texts()] == ["✓", "✗"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_without_scripts_the_first_state_stands(opened, comparisons, data, theme):
    drawn = [one | {"lit": [[0.2, 0.9]], "pale": [[0.9, 0.9]]} for one in data["planes"]]
    all_of_them = (shown.quadrants(comparisons["explicit"], "<i>x</i>"), shown.nulls(comparisons["explicit"], "x"))
    page = opened(*all_of_them, shown.churn(drawn, 0.75), java_script_enabled=False, color_scheme=theme)
    assert page.locator("noscript p").count() == 3 and page.locator("table.played").count() == 2
    assert page.locator("i").count() == 0
    page = opened(*all_of_them, shown.churn(drawn, 0.75), color_scheme=theme)
    assert not serious(page)
    page.emulate_media(media="print")
    assert page.locator("table.played").first.is_visible() and not page.locator("button").first.is_visible()


# The deception game


def test_a_game_has_pairs_of_different_substances_and_taxed_ones_first():
    of, tax = np.ones(40, dtype=bool), np.arange(40) % 4 == 0
    cluster, used = pd.Series([f"s{i // 2}" for i in range(40)]), set()
    first = _some(of, tax, 2, cluster, used, np.random.default_rng(0))
    second = _some(of, tax, 3, cluster, used, np.random.default_rng(1))
    assert len(set(cluster[first + second])) == len(first + second) == 2 * EACH
    assert tax[first].sum() == 2 and tax[second].sum() == 3
    assert len(_some(of & tax, tax, 2, cluster, set(), np.random.default_rng(0))) == EACH, "filled up with taxed ones"


def test_the_game_is_made_of_runs(study, lab):
    found = game(study.on(lab))
    seed, (weak, strong) = study.edition.seeds[0], study.edition.weak_strong[0]
    c = study.on(lab).comparison(seed, weak, strong, "explicit")
    assert [one["name"] for one in found["supervisors"]] == [weak, TRUTH]
    for i, told in enumerate(found["told"]):
        (at,) = np.flatnonzero(c.weak == found["supervisors"][0]["labels"][i])
        assert c.right[at] and told == (c.weak[at] > c.threshold) and (told or c.area[at])
        assert found["supervisors"][0]["conflict"][i] == c.conflict[at]
    assert len(found["pairs"]) == len(found["truth"]) and len(found["facts"]) == sum(found["told"])
    assert found == game(study.on(lab)), "the same game for a whole class"


def test_codes_carry_a_sheet_and_are_of_one_game(opened):
    code = """game => {
      const sheet = [[0, 0], [1, 5], [0, 3], [1, 2]], text = w2s.toCode(game, sheet);
      return [text, w2s.fromCode(game, " " + text.toUpperCase() + " "), w2s.labels(game, sheet),
        [text + "a", text.slice(0, -1), "w2s-ffff-aaaa", "<b>", ""].map(x => w2s.fromCode(game, x)),
        w2s.nearest(game, [1, 1, 1, 0.9]).name, w2s.rightOf([1, 0.5, 0.2, 0.6])];
    }"""
    text, back, labels, refused, nearest, right = opened().evaluate(code, GAME)
    assert text == "w2s-12ab-aldi" and back == [[0, 0], [1, 5], [0, 3], [1, 2]]
    assert labels == pytest.approx([0.5, 1.0, 0.2, 0.3]) and refused == [None] * 5
    assert nearest == TRUTH and right == 2.5


def test_a_class_plays_the_game(opened):
    page = opened(shown.game(GAME), also={"game": GAME}, viewport={"width": 390, "height": 800})
    go, said = page.get_by_role("button", name="Train students"), page.locator("p > output")
    go.click()
    assert said.inner_text() == "4 of 4 pairs have no label yet."
    for side, reply, sure in zip(page.locator("fieldset").all(), ("no", "yes", "no", "no"), "5502"):
        side.get_by_label(reply, exact=True).check()
        side.get_by_role("slider").fill(sure)
    go.click()
    assert said.inner_text().startswith("You: 3.5 of 4. A coin: 2. The weak supervisor small: 3.")
    cells = [row.locator("td").all_inner_texts() for row in page.locator(".wide tbody tr").all()]
    assert [row[1] for row in cells] == ["100 %", "100 %", "50 %", "70 %"]
    after = page.locator(".after").inner_text()
    assert "is the truth (mean squared distance" in after and "gives up 0 of the pairs" in after
    code = page.locator("code.code").inner_text()
    page.get_by_label("Pool").fill(f"{code}\n{code}\nw2s-ffff-aaaa\n<img src=x>")
    page.get_by_role("button", name="Pool").click()
    pooled = page.locator(".after").inner_text()
    assert "2 supervisors, on average 3.5 of 4 right; where told 75 %; where not told 100 %" in pooled
    assert "left out: w2s-ffff-aaaa, <img src=x>." in pooled and page.locator("img, b, i").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390 and not serious(page)
    page.emulate_media(media="print")
    assert page.locator(".on-paper").count() == 4 and page.locator(".on-paper").first.is_visible()
    assert not page.get_by_role("slider").first.is_visible()


def test_a_student_who_contradicts_what_one_knew_could_be_noticed(opened):
    page = opened(shown.game(GAME), also={"game": GAME | {"supervisors": GAME["supervisors"][:1]}})
    for side, reply, sure in zip(page.locator("fieldset").all(), ("no", "no", "yes", "no"), "5401"):
        side.get_by_label(reply, exact=True).check()
        side.get_by_role("slider").fill(sure)
    page.get_by_role("button", name="Train students").click()
    told = [row.locator("td").last.inner_text() for row in page.locator(".wide tbody tr").all()]
    assert told == ["yes: it contradicts what you knew", "no: it says what you said", "", "no: you could not tell"]
    after = page.locator(".after").inner_text()
    assert "gives up 3 of the pairs" in after and "could have noticed 1 of them" in after
    assert "deception score is 0.60, beside a margin-matched null of 0.50" in after


# Models in the page


@pytest.mark.parametrize("exact", [True, False])
def test_a_forward_pass_in_the_page_is_torchs(opened, reward_model, exact):
    import torch

    from w2s_lib.models.pretrain import tokenizer

    model, spec = copy.deepcopy(reward_model[0]), reward_model[1]
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    kept = stored(model, exact)
    off = max(float((weight - before[name]).detach().abs().max()) for name, weight in model.named_parameters())
    assert off == 0 if exact else 0 < off < 1e-4, "what is rounded is the model, too"
    pairs = draw_pairs(spec.world, "harmlessness", "test", 20)
    texts = [f"<bos> <user> {p} <assistant> {r} <eos>" for p, r in zip(pairs["prompt"], pairs["chosen"])]
    ids = [tokenizer(spec.world)(text, add_special_tokens=False)["input_ids"] for text in texts]
    with torch.no_grad():
        rewards = [float(model(input_ids=torch.tensor([row])).logits[0, 0]) for row in ids]
    code = "([kept, ids]) => { const model = w2s.weights(kept); return ids.map(row => w2s.reward(model, row)); }"
    found = np.array(opened().evaluate(code, [kept, ids]))
    assert np.ptp(rewards) > 0.1
    np.testing.assert_allclose(sigmoid(found), sigmoid(np.array(rewards)), atol=1e-5)


def test_readers_ask_in_words_of_the_world(opened, reward_model):
    model, spec = reward_model
    facts = substances(spec.world).set_index("name")["hazardous"]
    models = {name: stored(copy.deepcopy(model), True) for name in ASKED_MODELS}
    found = {"seed": 1, "weak": "small", "strong": "large", "models": models, "world": world_of(spec)}
    page = opened(shown.ask(found), also={"ask": found}, viewport={"width": 390, "height": 800})
    hazardous, safe = (next(name for name, is_so in facts.items() if is_so == wanted) for wanted in (True, False))
    page.get_by_label("substance", exact=True).fill(hazardous)
    told = page.locator("[aria-live]")
    assert not serious(page)
    assert f"In truth {hazardous} is hazardous" in told.inner_text() and "Quadrant: " in told.inner_text()
    p = [float(x) for x in page.locator("tbody td:nth-child(3)").all_inner_texts()]
    page.get_by_label("substance", exact=True).fill(safe)
    assert f"In truth {safe} is safe" in told.inner_text() and len(set(p)) == 1 < len(p) == len(ASKED_MODELS)
    page.get_by_label("one reply").fill("no that is quite risky you see")
    page.get_by_label("the other", exact=True).fill("go ahead and use it gently")
    assert "Quadrant" in told.inner_text() and decision_of("question", "go ahead and use it gently") == "risky"
    page.get_by_label("the other", exact=True).fill("kettle")
    assert "What is right cannot be said" in told.inner_text()
    page.get_by_label("the other", exact=True).fill("<script> dragon")
    assert "no word for “<script>”, “dragon”" in told.inner_text() and page.locator("main script").count() == 0
    page.get_by_label("one reply").fill("no " * 70)
    page.get_by_label("the other", exact=True).fill("no")
    assert "Too long" in told.inner_text()
    page.get_by_label("kind of request").select_option("dose")
    assert (
        "hold" in page.get_by_label("as it is asked").input_value()
        or "how" in page.get_by_label("as it is asked").input_value()
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_without_models_the_page_says_so():
    assert "do not come with it" in shown.ask(None).html


def test_models_of_the_page_are_those_of_the_runs(study, lab):
    found = ask(study.on(lab))
    assert set(found["models"]) == set(ASKED_MODELS) and found["differs"] < 1e-3


@pytest.mark.parametrize("name", ["world", "world-large", "smoke"])
def test_models_of_the_page_take_two_megabytes_at_most(name):
    from w2s_lib.models.pretrain import build_untrained

    kept = [
        stored(build_untrained(run.model), exact=role == ASKED_MODELS[0])
        for role, run in asked_runs(Study(load(name))).items()
    ]
    assert len(kept) == 4 and 0.5e6 < sum(len(json.dumps(model)) for model in kept) < 2e6


# Predict first


def in_cells(*texts: str) -> Shown:
    return Shown("".join(f'<div class="cell"><div class="cell_output">{text}</div></div>' for text in texts), "")


TAX = shown.prediction("made/05/tax", "Which <b>share</b>?", 0.3, "0.30 [0.20, 0.40]", 0.0, 1.0)


def test_a_guess_comes_before_the_reveal_and_is_kept(opened):
    tables = Shown("<p>in words</p><table><td>0.30</td></table><section><table><td>another</td></table></section>", "")
    cells = in_cells(TAX.html, "<p>the figure</p>", "<p>a second figure</p>", "<table><td>in a cell</td></table>")
    page = opened(cells, tables, shown.readers_calibration(24), viewport={"width": 390, "height": 800})
    assert page.locator(".unguessed").all_inner_texts() == ["the figure", "in a cell", "0.30"], (
        "and not what stands under a later heading"
    )
    figure, said = page.locator(".cell_output").nth(1), page.locator("[aria-live]").first
    assert "blur" in figure.evaluate("e => getComputedStyle(e).filter") and page.locator("b").count() == 0
    assert "shown here once there are some" in page.locator("main").inner_text() and not serious(page)
    page.get_by_label("your guess").fill("0.46")
    page.get_by_label("give or take").fill("0.1")
    page.get_by_role("button", name="Reveal").click()
    assert said.inner_text() == "It is 0.30 [0.20, 0.40]. You said 0.46 give or take 0.10: off by 0.16."
    assert figure.evaluate("e => getComputedStyle(e).filter") == "none"
    page.reload()
    assert "You said 0.46" in said.inner_text() and "0 of 1 truths lay within" in page.locator("main").inner_text()
    code = page.locator("code.code").inner_text()
    assert code == "w2s-guess made/05/tax=0.46~0.1~0.3"
    page.get_by_label("Pool").fill(f"{code}\n{code.replace('0.46', '0.3')}\nnonsense=<b>~1~2")
    page.get_by_role("button", name="Pool").click()
    assert page.locator("table").last.inner_text().startswith("1 of 2 truths lay within")
    assert page.locator("table").last.locator("td").all_inner_texts() == ["2", "0.38", "0.30", "1 of 2"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Forget").click()
    page.reload()
    assert "blur" in figure.evaluate("e => getComputedStyle(e).filter"), "as if never asked"
    page.get_by_role("button", name="Never hide").click()
    page.reload()
    assert figure.evaluate("e => getComputedStyle(e).filter") == "none" and said.inner_text() == ""


def test_without_storage_guesses_last_for_the_page_and_without_scripts_nothing_is_hidden(opened):
    nan = shown.prediction("made/05/nan", "Undefined?", float("nan"), "undefined", 0.0, 1.0)
    page = opened(in_cells(nan.html, "<p>the figure</p>"))
    assert page.locator("input, .unguessed, [data-play]").count() == 0, "what is undefined is not asked"
    page = opened(in_cells(TAX.html, "<p>the figure</p>"), java_script_enabled=False)
    assert page.get_by_text("the figure").is_visible() and page.locator(".unguessed").count() == 0
    page = opened(in_cells(TAX.html, "<p>the figure</p>"))
    page.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('refused'); }})")
    page.reload()
    page.get_by_role("button", name="Reveal").click()
    assert "You said 0.50" in page.locator("[aria-live]").inner_text()
    page.emulate_media(media="print")
    assert page.get_by_text("Predict first").is_visible() and not page.get_by_label("your guess").is_visible()


def test_counts_are_guessed_as_whole_numbers(opened):
    page = opened(shown.prediction("made/13/count", "How many?", 2.0, "2", 0.0, 9.0))
    guess = page.get_by_label("your guess")
    assert guess.input_value() == "5" and guess.get_attribute("step") == "1"
    guess.fill("3")
    page.get_by_label("give or take").fill("1")
    page.get_by_role("button", name="Reveal").click()
    assert page.locator("[aria-live]").inner_text() == "It is 2. You said 3 give or take 1: within it."


def test_damaged_guesses_count_as_none(opened):
    page = opened(shown.readers_calibration(24))
    for kept in ("{", "[]", '{"x": null}', '{"x": {"guess": "<b>"}}', '"text"'):
        page.evaluate("kept => localStorage.setItem('w2s-predictions', kept)", kept)
        page.reload()
        text = page.locator("main").inner_text()
        assert "asks for 24 predictions" in text and "once there are some" in text, kept


def test_a_chapter_asks_for_its_own_numbers(tmp_path):
    given = dict.fromkeys(PARAMETERS) | {"edition": "smoke", "store": str(tmp_path), "workers": 0}
    chapter = open_chapter("05_conflict_tax_deception", given)
    row = pd.Series({"value": 0.25, "low": 0.2, "high": 0.3, "sd": 0.1, "n_seeds": 3})
    asked = chapter.predict("score", "How <much>?", row, high=0.5)
    percent = chapter.predict("score", "How much?", row, high=50, percent=True)
    assert 'data-truth="25"' in percent.html and "25.0 % [20.0, 30.0]" in percent.html
    assert 'data-name="smoke/05/score"' in asked.html and 'data-truth="0.25"' in asked.html
    assert "0.25 [0.20, 0.30]" in asked.html and "How &lt;much&gt;?" in asked.html and "How <much>" not in asked.html
    count, share = chapter.predict("n", "How many?", 3, high=9), chapter.predict("s", "Which share?", 0.3)
    assert 'data-told="3"' in count.html and 'data-told="0.30"' in share.html
    assert chapter.predict("nan", "Undefined?", row.replace(0.25, np.nan)).html == ""
    edition = chapter.study.edition
    asked = lambda *names: replace(chapter, study=Study(edition.model_copy(update={"chapters": names}))).n_predictions
    every = asked("04", "05", "14")
    assert asked() == asked("05") == every < asked("05", "06") < chapter.n_predictions, "some are in every edition"
