"""Token by token: which tokens count, that the loss reads them alone, a fair lot, what is refused, what the chapter
finds."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from tests.planted import DrawnLab, per_seed
from tests.test_policy import (  # noqa: F401  (fixtures)
    MODEL,
    PAIRS,
    WORLD,
    assert_same_gradients,
    base,
    given,
    labels,
    run_of,
)
from w2s_lib.book.chapter import open_chapter
from w2s_lib.data.load import split
from w2s_lib.data.pairs import PairsError
from w2s_lib.errors import ParameterError
from w2s_lib.figures.mitigations import tried_on_policies
from w2s_lib.figures.token_by_token import TOKEN_GROUPS_IN_WORDS, levels, places, who_pays
from w2s_lib.findings import token_by_token as findings
from w2s_lib.findings.claims import CLAIMS, ledger
from w2s_lib.findings.label_again import CONTRAST, THERE, contrast, there
from w2s_lib.findings.mitigations import two_remedies
from w2s_lib.findings.results import NAMES, TRAINING, UNMODIFIED, UNMODIFIED_NET, difference, minus, net_of_reruns, pick
from w2s_lib.findings.statistics import MATCHED
from w2s_lib.findings.token_by_token import (
    CHOSEN,
    LOT,
    MISSED,
    TOKEN_GROUPS,
    counts_at_decision,
    planted,
)
from w2s_lib.lab.graph import closure
from w2s_lib.measures.metrics import Comparison
from w2s_lib.models.pretrain import tokenizer
from w2s_lib.models.scores import reply_lengths, reply_log_probs, token_log_probs
from w2s_lib.specs import Conflict, Labelling, PolicyRecipe, Selection, Train
from w2s_lib.study import Study
from w2s_lib.study.edition import load
from w2s_lib.study.mitigations import MITIGATIONS, TOKENS
from w2s_lib.training.labels import training_pairs
from w2s_lib.training.policy import build, fit
from w2s_lib.training.tokens import by_lot, by_oracle, count_of_share, gained, masks, outermost
from w2s_lib.training.train import train

CELL = (21, "tiny-24", "tiny-56")
MINE = [claim for claim in CLAIMS.values() if claim.chapter == "31_token_by_token"]
BOTH = (np.array([0.1, 2.0, -1.0, 0.5, 0.0, 0.3, -0.2]), np.array([0.4, -3.0, 0.0, -0.1]))
"""What the tokens of a pair's replies have gained."""


def where(mask: np.ndarray) -> list[int]:
    return np.flatnonzero(mask).tolist()


def dpo() -> Train:
    """An oracle that leaves its tokens."""
    return run_of("dpo").labels.model_copy(update={"tokens": True})


def student(share: float = 0.3, oracle: bool = True, conflict: Conflict | None = None, **recipe: float) -> Train:
    """A policy by SimPO that learns from some tokens."""
    run = run_of("simpo", conflict or Conflict(), hard=True, **recipe)
    return run.model_copy(update={"selection": Selection(share=share, oracle=dpo() if oracle else None)})


# Which tokens count


def test_selection_by_hand():
    """Of seven tokens two count, of four one: the largest gains where the reply is preferred, else the smallest."""
    chosen, rejected = by_oracle(BOTH, 0.3, label=1.0)
    assert (where(chosen), where(rejected)) == ([1, 3], [1])
    chosen, rejected = by_oracle(BOTH, 0.3, label=0.0)
    assert (where(chosen), where(rejected)) == ([2, 6], [0])
    assert [where(m) for m in by_oracle(BOTH, 0.5, label=0.9)] == [[1, 3, 5], [1, 3]]
    assert all(m.all() for m in by_oracle(BOTH, 1.0, label=1.0)), "a share of all is all"
    assert all(m.all() for m in by_oracle(BOTH, 0.3, label=0.5)), "no side, no preferred reply"
    assert where(outermost(np.zeros(5), 0.4, most=True)) == [0, 1], "of equal ones the earlier"


def test_a_share_is_rounded_down_and_is_one_token_at_least():
    assert [count_of_share(n, 0.3) for n in range(8)] == [0, 1, 1, 1, 1, 1, 1, 2]
    assert count_of_share(100, 0.29) == 29 and count_of_share(10, 0.3) == 3, "as in decimals"


def test_selection_asks_no_truth():
    """A pair turned around, with its label, has the same tokens in each reply."""
    for label in (1.0, 0.0, 0.5):
        one, other = by_oracle(BOTH, 0.3, label), by_oracle(BOTH[::-1], 0.3, 1 - label)
        assert [where(m) for m in one] == [where(m) for m in other[::-1]]


def told(frame: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """An oracle's table of a frame's pairs, drawn; in another order."""
    rng, lengths = np.random.default_rng(seed), reply_lengths(tokenizer(WORLD), frame)
    gains = [[rng.normal(size=n) for n in side] for side in lengths.T]
    table = pd.DataFrame({"pair_id": frame["pair_id"], "chosen": gains[0], "rejected": gains[1]})
    return table.sample(frac=1, random_state=1)


def test_a_lot_draws_as_many_tokens_and_always_the_same(labels):  # noqa: F811
    frame = training_pairs(student(), [labels])
    lengths = reply_lengths(tokenizer(WORLD), frame)
    chosen, drawn = masks(student(), frame, lengths, told(frame)), masks(student(oracle=False), frame, lengths, None)
    assert [m.sum() for m in chosen] == [m.sum() for m in drawn] and any(
        where(a) != where(b) for a, b in zip(chosen, drawn)
    )
    again = masks(student(oracle=False, conflict=Conflict(kind="explicit", alpha=0.5)), frame, lengths, None)
    assert all((a == b).all() for a, b in zip(drawn, again)), "every condition learns from the same tokens"


def test_a_lot_prefers_no_place():
    counts = np.mean([by_lot((6, 6), 0.5, 1.0, seed, f"pair {i}")[0] for seed in range(4) for i in range(500)], axis=0)
    assert counts == pytest.approx(0.5, abs=0.05)


def test_pairs_that_no_supervisor_labels_are_learnt_from_whole(labels):  # noqa: F811
    mixed = student(conflict=Conflict(kind="mixed", objective="helpfulness", share=0.25))
    frame = training_pairs(mixed, [labels])
    weakly, n = frame["weakly_labelled"].to_numpy(dtype=bool), len(frame)
    found = masks(mixed, frame, reply_lengths(tokenizer(WORLD), frame), told(frame[weakly]))
    assert len(found) == 2 * n and 0 < (~weakly).sum() < n
    for i in range(n):
        assert (found[i].all() and found[n + i].all()) == (not weakly[i])


def test_an_oracle_of_another_tokenizer_is_one_line(labels):  # noqa: F811
    frame = training_pairs(student(), [labels])
    other = told(frame).assign(chosen=lambda t: [np.append(g, 0.0) for g in t["chosen"]])
    with pytest.raises(
        PairsError, match="the oracle reads .* tokens where the student reads .*; use models with one"
    ) as e:
        masks(student(), frame, reply_lengths(tokenizer(WORLD), frame), other)
    assert "\n" not in str(e.value)


# The loss


def test_the_gradient_is_that_of_the_written_loss_on_these_tokens_alone(base, labels, given, tmp_path):  # noqa: F811
    """−log σ(R_w − R_l), R = β times the mean log π over the tokens that count; the recipe's margin, and the explicit
    conflict, on the same gap."""
    run = student(conflict=Conflict(kind="explicit", alpha=0.5))
    frame = training_pairs(run, [labels])
    table = told(frame)
    trained, by_hand = build(base), build(base)
    fit(trained, tokenizer(WORLD), frame, run, tmp_path, told=table)
    rows, rewards = table.set_index("pair_id"), []
    for pair in frame.itertuples():
        for side in ("chosen", "rejected"):
            text = f"<bos> <user> {pair.prompt} <assistant> {getattr(pair, side)} <eos>"
            ids = tokenizer(WORLD)(text, add_special_tokens=False)["input_ids"]
            begin, gains = len(pair.prompt.split()) + 3, rows.loc[pair.pair_id, side]
            preferred = (side == "chosen") == (pair.label > 0.5)
            m = max(1, int(0.3 * len(gains)))
            best = sorted(range(len(gains)), key=lambda t: -gains[t] if preferred else gains[t])[:m]
            logits = by_hand(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
            rewards.append(run.recipe.beta * sum(logits[begin + t - 1, ids[begin + t]] for t in best) / m)
    gap = torch.stack(rewards).reshape(-1, 2).diff(dim=1)[:, 0] * -1
    label, gamma = torch.tensor(frame["label"].to_numpy(dtype=float), dtype=torch.float), run.recipe.gamma
    loss = -label * F.logsigmoid(gap - gamma) - (1 - label) * F.logsigmoid(-gap - gamma)
    wrong = gap <= 0
    assert 0 < wrong.sum() < len(wrong)
    (loss - 0.5 * wrong * F.logsigmoid(-gap - gamma)).mean().backward()
    assert_same_gradients(given, trained, by_hand)


def test_a_share_of_all_tokens_is_simpo(base, labels, given, tmp_path):  # noqa: F811
    run = student(share=1.0)
    frame = training_pairs(run, [labels])
    one, two = build(base), build(base)
    fit(one, tokenizer(WORLD), frame, run, tmp_path, told=told(frame))
    selecting = {name: given[p] for name, p in one.named_parameters()}
    given.clear()
    fit(two, tokenizer(WORLD), frame, run.model_copy(update={"selection": None}), tmp_path)
    for name, p in two.named_parameters():
        assert torch.allclose(given[p], selecting[name], rtol=1e-4, atol=1e-7), name


def test_an_oracle_leaves_what_each_token_gained(base, tmp_path):  # noqa: F811
    """The gains of a reply add up to its implicit reward over β."""
    oracle = dpo()
    train(oracle, [base], [], tmp_path)
    table, scores = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("tokens", "scores"))
    assert table["pair_id"].tolist() == scores["pair_id"].tolist() and set(table["split"]) == {"weak_label", "test"}
    sums = table["chosen"].map(np.sum) - table["rejected"].map(np.sum)
    assert oracle.recipe.beta * sums.to_numpy() == pytest.approx(scores["margin"].to_numpy(), abs=1e-3)
    frame = split(PAIRS, "test").reset_index(drop=True)
    mine = table[table["split"] == "test"].reset_index(drop=True)
    for i in range(0, 64, 7):
        words = [frame[side][i].split() + ["<eos>"] for side in ("chosen", "rejected")]
        assert [len(mine[side][i]) for side in ("chosen", "rejected")] == [len(w) for w in words]
        first = next(t for t, (a, b) in enumerate(zip(*words)) if a != b)
        assert mine["differ_at"][i] == first


def test_log_probabilities_of_tokens_add_up(base):  # noqa: F811
    frame, model = split(PAIRS, "test").head(9), build(base)
    found, ids = token_log_probs(model, tokenizer(WORLD), frame)
    whole, lengths = reply_log_probs(model, tokenizer(WORLD), frame)
    assert [x.sum() for x in found] == pytest.approx(whole.T.ravel(), abs=1e-4)
    assert [len(x) for x in found] == [len(x) for x in ids] == lengths.T.ravel().tolist()
    same = gained(found, [x + 1 for x in found], ids, frame)
    assert all((gains == 1).all() for gains in same["chosen"])


# Runs, and what is refused


def test_keys_of_what_was_there_before_stay():
    """Written down before runs chose tokens."""
    world = Study(load("world")).trained_by("simpo")
    assert world.weak(21, "tiny-24").key == "ec726630d4e23e69"
    assert world.student(*CELL, "explicit").key == "7e97aaa8881e21e2"


def test_mitigations_give_a_selection_to_simpo_and_to_no_other_method():
    world = Study(load("world", {"token_share": 0.4}))
    simpo = world.trained_by("simpo")
    runs = {name: simpo.under_mitigation(name).student(*CELL, "explicit") for name in TOKENS}
    assert [run.selection.share for run in runs.values()] == [0.4, 0.5, 0.4, 0.5]
    oracle = runs["chosen_tokens"].selection.oracle
    assert oracle == simpo.oracle(21, "tiny-24") and (oracle.method, oracle.labels, oracle.tokens) == (
        "dpo",
        None,
        True,
    )
    assert runs["random_tokens"].selection.oracle is None
    assert oracle in runs["chosen_half"].parents() and oracle not in runs["random_half"].parents()
    plain = simpo.student(*CELL, "explicit")
    assert all(run.model_copy(update={"selection": None}) == plain for run in runs.values()), "in nothing else"
    for method in ("reward_model", "dpo"):
        with pytest.raises(ValueError, match=f"'chosen_tokens' is for simpo, not for {method}"):
            world.trained_by(method).under_mitigation("chosen_tokens").student(*CELL)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"token_share": 0}, "token_share=0: must be above 0"),
        ({"token_share": 1.5}, "token_share=1.5: must be at most 1"),
        ({"token_share": "most"}, "token_share='most': must be a number"),
    ],
)
def test_an_unknown_share_is_one_line_before_anything_is_trained(tmp_path, parameters, says):
    with pytest.raises(ParameterError, match=says) as error:
        open_chapter("31_token_by_token", {"edition": "smoke", "store": str(tmp_path)} | parameters)
    assert "\n" not in str(error.value) and not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"mitigations": ["chosen_token"]}, "no such mitigation; did you mean 'chosen_tokens'?"),
        (
            {"mitigations": ["filter", "random_half"], "methods": ["dpo"]},
            "mitigations='random_half': is for simpo, and",
        ),
    ],
)
def test_names_that_cannot_be_tried_are_one_line(parameters, says):
    with pytest.raises(ParameterError, match=says) as error:
        load("smoke", parameters)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("update", "says"),
    [
        ({"method": "dpo", "recipe": PolicyRecipe()}, "a token selection is for SimPO"),
        ({"labels": None, "labelling": Labelling()}, "a token selection is for SimPO, without a reference, on weak"),
        ({"tokens": True}, "tokens gain over a reference, which DPO has; simpo has none"),
    ],
)
def test_runs_that_make_no_sense_are_refused(update, says):
    run = student()
    fields = {name: getattr(run, name) for name in type(run).model_fields}
    with pytest.raises(ValueError, match=says):
        Train(**fields | update)


def test_a_selection_needs_an_oracle_that_tells():
    with pytest.raises(ValueError, match="the oracle of a token selection leaves no tokens"):
        Selection(share=0.3, oracle=run_of("dpo").labels)
    for share in (0, 1.1, True):
        with pytest.raises(ValueError):
            Selection(share=share)


def test_the_chapter_trains_what_it_needs_and_no_more():
    world = Study(load("world"))
    new = {*closure(world.token_runs())} - {*closure(world.policy_runs())}
    assert len(new) == 3 * (4 * 4 + 1), "four selections of four students, and an oracle, a seed"
    assert {*world.token_runs()} <= {*world.runs()} and not {*world.token_runs()} <= {*world.policy_runs()}
    without = Study(load("world", {"chapters": ["12"]}))
    assert not any(isinstance(run, Train) and (run.selection or run.tokens) for run in without.runs())


def test_by_name_they_are_tried_on_simpo_alone():
    """As in a report on one's own pairs, which names mitigations."""
    named = Study(load("smoke", {"mitigations": ["filter", "chosen_tokens", "random_tokens"]}))
    assert [one.mitigation for one in named.mitigated()] == ["filter"]
    assert [one.mitigation for one in named.mitigated_policies("dpo")] == ["filter"]
    tried = named.mitigated_policies("simpo")
    assert [one.mitigation for one in tried] == ["filter", "chosen_tokens", "random_tokens"]
    assert {*tried[1].student_runs(("none", "implicit"))} <= {*named.runs()}
    assert list(named.challenged()) == ["filter"]


# The deciding token, and who pays


def test_the_deciding_token_counts_where_it_is_selected():
    frame = pd.DataFrame({
        "differ_at": [0, 2, 1],
        "chosen_count": [np.array([True, False]), np.array([True, False, False]), np.array([True])],
        "rejected_count": [np.array([True]), np.array([False, False, True]), np.array([False, True])],
    })  # fmt: skip
    assert counts_at_decision(frame).tolist() == [[True, True], [False, True], [False, True]]


class TokenLab(DrawnLab):
    """A drawn lab that has oracles, too: gains are drawn, and replies differ at their first token."""

    def tokens(self, run, on="test"):
        frame = split(run.pairs, on).reset_index(drop=True)
        table = told(frame, seed=5).set_index("pair_id").loc[frame["pair_id"]].reset_index()
        return table.assign(split=on, differ_at=0)


@pytest.fixture(scope="module")
def drawn() -> Study:
    return Study(load("smoke", {"seeds": [7, 8, 9]})).on(TokenLab())


def test_groups_by_hand(drawn):
    few = findings.by_simpo(drawn)
    cell = (7, *few.edition.weak_strong[0])
    table = few.lab.tokens(few.oracle(*cell[:2]), "weak_label")
    q = few.lab.scores(few.weak(*cell[:2]), "weak_label")["p_true"]
    first = lambda gains, largest: 0 in np.argsort(-gains if largest else gains)[: max(1, int(0.3 * len(gains)))]
    number = [
        first(c, label > 0.5) + first(r, label < 0.5) for c, r, label in zip(table["chosen"], table["rejected"], q)
    ]
    found = findings.token_groups(few, *cell, "weak_label")
    assert tuple(found) == TOKEN_GROUPS and [where(found[g]) for g in TOKEN_GROUPS] == [
        where(np.equal(number, n)) for n in (2, 1, 0)
    ]
    lot = findings.token_groups(few, *cell, "weak_label", LOT)
    assert where(lot[MISSED]) != where(found[MISSED]), "a lot draws others"


def test_planted_students_are_told_from_one_another():
    """All of the tax on the missed pairs, half of it, and by margin alone."""
    rng, n = np.random.default_rng(2), 1500
    missed, margin = rng.uniform(size=n) < 0.3, rng.exponential(size=n)
    right, p = np.full(n, 0.9), 1 / (1 + np.exp(-margin))
    c = Comparison(right, right, p, np.where(rng.uniform(size=n) < 0.1, 0.1, 0.9), p)
    found = {kind: planted(c, missed, kind, seed=1).mean() for kind in findings.PLANTED_HERE}
    assert found["perfect"] > 0.6 > found["half"] > 0.2 and abs(found["by_margin"]) < 0.03


BY_LOT = {"method": "simpo", "mitigation": LOT, "on": TRAINING}


def test_what_a_lot_does_by_way_of_margins_is_seen_in_rates_and_not_beyond_margins():
    """The lot halves the margins of the pairs that it misses, in every student; tax falls by margin alone."""
    rows = []
    for seed in range(3):
        rng, n = np.random.default_rng(seed), 9000
        group = rng.integers(3, size=n)
        margin = rng.exponential(size=n) * np.where(group == 2, 0.5, 1.0)
        right, p = np.full(n, 0.9), 1 / (1 + np.exp(-margin))
        for condition, most in (("explicit", 0.8), ("rerun", 0.2)):
            c = Comparison(right, right, p, np.where(rng.uniform(size=n) < most * np.exp(-2 * margin), 0.1, 0.9), p)
            for i, name in enumerate(TOKEN_GROUPS):
                names = BY_LOT | {"condition": condition, "subset": name, "seed": seed}
                rows += [names | {"statistic": s, "value": float(of())} for s, of in there(c, group == i).items()]
    frame = per_seed(rows)
    does = minus(
        contrast(frame, MISSED, TOKEN_GROUPS[0], **BY_LOT), (CONTRAST,), ("explicit",), "rerun", **BY_LOT
    ).iloc[0]
    assert does["low"] > 0.03 and does["value"] == pytest.approx(0.6 * (1 / 2 - 1 / 3), abs=0.03)
    left = minus(frame, THERE[-1:], ("explicit",), "rerun", **BY_LOT, subset=MISSED).iloc[0]
    assert left["value"] == pytest.approx(0, abs=0.04), "the margins have it all"
    assert all(s.count("than its margins explain") == 1 for s in CLAIMS["K6"].says.values())


def of_two(statistic: str, values: dict[tuple[str, str], float], **also: str) -> list[dict]:
    """Rows by mitigation and condition, in three seeds that differ a little."""
    return [
        {"statistic": statistic, "method": "simpo", "mitigation": name, "condition": condition, "seed": seed, **also}
        | {"value": value + 0.001 * (seed - 1) * (1 + (name == CHOSEN))}
        for (name, condition), value in values.items()
        for seed in range(3)
    ]


def test_a_larger_part_of_a_smaller_tax_is_not_called_more():
    """Tax 10 % and 5 %, of which .30 and .40 lie there beyond margins: 3 and 2 % of all pairs."""
    frame = per_seed(of_two(THERE[-1], {("", "explicit"): 0.3, (CHOSEN, "explicit"): 0.4}, subset=MISSED))
    names = [{"method": "simpo", "mitigation": name, "condition": "explicit"} for name in (CHOSEN, "")]
    found = difference(frame, THERE[-1], UNMODIFIED, *(its | {"subset": MISSED} for its in names))
    (line,) = ledger({"31_token_by_token": found}, [CLAIMS["K5"]]).to_dict("records")
    assert line["verdict"] == "yes" and "a larger part" in line["sentence"] and "pays" not in line["sentence"]
    assert not any("pays" in says for says in CLAIMS["K5"].says.values())


def test_a_tax_that_falls_with_its_rerun_falls_by_nothing():
    """4 % with a rerun of 3, against 2 % with a rerun of 1."""
    taxes = {("", "explicit"): 0.04, ("", "rerun"): 0.03, (CHOSEN, "explicit"): 0.02, (CHOSEN, "rerun"): 0.01}
    frame = per_seed(of_two("conflict_tax", taxes))
    both = [{"method": "simpo", "mitigation": name, "condition": "explicit"} for name in (CHOSEN, "")]
    assert difference(frame, "conflict_tax", UNMODIFIED, *both)["value"].iloc[0] == pytest.approx(-0.02)
    net = net_of_reruns(frame, ("conflict_tax",), UNMODIFIED, *both).iloc[0]
    assert net["value"] == pytest.approx(0) and net["versus"] == UNMODIFIED_NET


@pytest.mark.slow
def test_what_the_chapter_finds(drawn):
    """On drawn scores; rows, differences and figures."""
    per_seed, results = findings.token_by_token(drawn)
    assert not results.duplicated(list(NAMES)).any() and set(results["method"]) == {"simpo"}
    few = findings.by_simpo(drawn)
    chosen, all_of_them = few.under_mitigation(CHOSEN), few
    taxes = [
        [one.comparison(seed, *few.edition.weak_strong[0], "explicit").tax.mean() for seed in (7, 8, 9)]
        for one in (chosen, all_of_them)
    ]
    less = pick(results, "conflict_tax", "explicit", method="simpo", mitigation=CHOSEN, versus=UNMODIFIED)["value"]
    assert less == pytest.approx(np.mean(taxes[0]) - np.mean(taxes[1]))
    row = lambda statistic, **also: pick(results, statistic, "explicit", method="simpo", **also)["value"]
    own = [row("conflict_tax", mitigation=name, versus="rerun") for name in (CHOSEN, "")]
    assert row("conflict_tax", mitigation=CHOSEN, versus=UNMODIFIED_NET) == pytest.approx(own[0] - own[1])
    lots = [row("conflict_tax", mitigation=name, versus="rerun") for name in (CHOSEN, LOT)]
    assert row("conflict_tax", mitigation=CHOSEN, versus=f"{LOT}_net") == pytest.approx(lots[0] - lots[1])
    rates = [row("tax_rate", mitigation=LOT, on=TRAINING, subset=group) for group in (MISSED, TOKEN_GROUPS[0])]
    assert row(CONTRAST, mitigation=LOT, on=TRAINING) == pytest.approx(rates[0] - rates[1])
    for mitigation, on in (("", ""), (CHOSEN, ""), (CHOSEN, TRAINING), (LOT, TRAINING)):
        of = lambda statistic, group: pick(
            results, statistic, "explicit", method="simpo", mitigation=mitigation, subset=group, on=on
        )["value"]
        assert sum(of(THERE[1], group) for group in TOKEN_GROUPS) == pytest.approx(1)
        assert sum(of(THERE[-1], group) for group in TOKEN_GROUPS) == pytest.approx(0, abs=1e-9)
    share = [
        pick(results, "share_of_pairs", "none", method="simpo", mitigation=LOT, subset=g, on=TRAINING)["value"]
        for g in TOKEN_GROUPS
    ]
    assert sum(share) == pytest.approx(1)
    assert len(MINE) == 6 and (ledger({"31_token_by_token": results}, MINE)["verdict"] != "untested").all()
    drawn_levels, drawn_pays = levels(results).alt, who_pays(results).alt
    assert all(MITIGATIONS[name].title in drawn_levels for name in TOKENS) and MATCHED not in drawn_levels
    assert all(name in drawn_pays for name in TOKEN_GROUPS_IN_WORDS.values()) and "planted: all on these" in drawn_pays
    by_place = findings.by_place(drawn)
    lot = by_place[(by_place["by"] == LOT) & (by_place["place"] == 0)]
    assert len(lot) == 6 and (lot["counts"].between(0.1, 0.45)).all()
    alt = places(by_place).alt
    assert "preferred reply: the oracle" in alt and "a lot" in alt


def test_remedies_of_policies_show_them_by_name(drawn):
    named = Study(load("smoke", {"mitigations": ["filter", "chosen_tokens"]})).on(TokenLab())
    assert tried_on_policies(two_remedies(named)[1]) == [
        ("dpo", "filter"), ("simpo", "filter"), ("simpo", "chosen_tokens"),
    ]  # fmt: skip
