"""What comes with the project gives every reader the numbers of those who have the texts and the model."""

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from transformers import AutoModelForSequenceClassification

from tests.test_real_edition import BAD, GOOD, dialogues
from w2s_lib import digests
from w2s_lib.book import ship
from w2s_lib.book.build import NOT_SHIPPED
from w2s_lib.book.chapter import MODELS, open_lab
from w2s_lib.book.pages import PACK
from w2s_lib.errors import ParameterError
from w2s_lib.figures import bridge as figures_of_bridge
from w2s_lib.figures import real_texts as figures_of_real_texts
from w2s_lib.findings import bridge, claims, record
from w2s_lib.findings import real_texts as findings_of_real_texts
from w2s_lib.findings.claims import CLAIMS, FINDINGS, ledger, verdict
from w2s_lib.findings.claims import on_real_texts as asked_of_real_texts
from w2s_lib.findings.conflict import PLACEBO_MARGIN, conflict, is_placebo, placebo_in_words
from w2s_lib.findings.controls import controls
from w2s_lib.findings.gap import capability_gap
from w2s_lib.findings.ladder import ladder_results
from w2s_lib.findings.mechanism import REGIONS, paths
from w2s_lib.findings.real_texts import (
    ACROSS,
    EXPECTED,
    EXPECTED_ACROSS,
    WITHIN,
    by_people,
    conditions_at_hand,
    families,
    real_texts,
    seeds_in_words,
    tried_in_words,
)
from w2s_lib.findings.results import ONE_DIVISION, pick, say
from w2s_lib.findings.statistics import MATCHED
from w2s_lib.lab import Lab
from w2s_lib.lab.graph import closure
from w2s_lib.lab.shipped import DIGESTS, Shipped
from w2s_lib.lab.store import Store, StoreError
from w2s_lib.measures.divergences import capa
from w2s_lib.models.ladder import parse
from w2s_lib.specs import Society, Train
from w2s_lib.study import Study
from w2s_lib.study.conditions import DOSES
from w2s_lib.study.cost import plan_runs
from w2s_lib.study.edition import FOLDER, load

CONDITIONS = ("explicit", "rerun")
REAL_TEXTS = "15_real_models_and_data"


@pytest.fixture(scope="module")
def done(folders, tmp_path_factory) -> tuple[Study, Path]:
    """A study on local pairs by frozen layers of a tiny model, done here, and the folder of its results."""
    folder = tmp_path_factory.mktemp("ship")
    harmless = folder / "harmless.jsonl"
    harmless.write_text("\n".join(map(json.dumps, dialogues(200, (GOOD, BAD), 1))), encoding="utf-8")
    layers = [f"{folders['llama']}@0", f"{folders['llama']}@2"]
    fields = {"name": "shipped", "data": str(harmless), "seeds": [1, 2], "models": layers, "weak_strong_pairs": "all"}
    fields |= {"control_weak_strong_pairs": [], "train_pairs": 48, "test_pairs": 64, "max_tokens": 96, "threshold": 0.5}
    study = Study(load("hh-smol", fields | {"draws": 100, "chapters": ["05"]}))
    Lab(folder / "store", workers=0, progress=False).run(study.student_runs(CONDITIONS))
    return study, folder / "store"


@pytest.fixture
def own(done, monkeypatch, tmp_path):
    """That study, a lab on a copy of its results, and what was shipped of them: a test may do harm to both."""
    monkeypatch.setattr(ship, "FOLDER", tmp_path / "editions")
    study, lab = done[0], Lab(shutil.copytree(done[1], tmp_path / "store"), workers=0, progress=False)
    return study, lab, ship.ship(study.on(lab))


def test_shipped_results_are_those_that_were_computed(own, tmp_path, monkeypatch):
    study, lab, written = own
    _, here = real_texts(study.on(lab), CONDITIONS, controls=False)
    shipped = Shipped(written.folder)
    assert all(b"Question" not in path.read_bytes() for path in shipped.folder.iterdir()), "no texts"
    elsewhere = Lab(tmp_path / "empty", workers=0, progress=False, shipped=shipped)
    runs = study.student_runs(CONDITIONS)
    assert not elsewhere.missing(runs)
    monkeypatch.setattr("w2s_lib.data.load.load", None)  # the texts are out of reach
    _, there = real_texts(study.on(elsewhere), CONDITIONS, controls=False)
    assert elsewhere.trained == 0
    pd.testing.assert_frame_equal(here, there, atol=2e-3)
    margins = [lab.scores(run)["margin"].to_numpy() for run in runs]
    assert all(
        np.abs(a - elsewhere.scores(run)["margin"]).max() <= 1e-3 * np.abs(a).max() for a, run in zip(margins, runs)
    )


def test_scores_that_are_not_those_of_the_pairs_are_refused_and_nothing_is_lost(own):
    study, lab, shipped = own
    path = lab.store.path(study.student(1, *study.edition.weak_strong[0])) / "scores.parquet"
    pd.read_parquet(path).iloc[::-1].to_parquet(path)
    with pytest.raises(StoreError, match="is not what was written"):
        ship.ship(study.on(lab))
    record = json.loads(path.with_name("record.json").read_text(encoding="utf-8"))
    path.with_name("record.json").write_text(
        json.dumps({key: value for key, value in record.items() if key not in ("files", "digest", "sealed")}),
        encoding="utf-8",
    )
    with pytest.raises(StoreError, match="not those of the test pairs"):
        ship.ship(study.on(lab))
    assert sorted(file.name for file in shipped.folder.glob("margins-*")) == ["margins-1.parquet", "margins-2.parquet"]
    assert Shipped(shipped.folder).has(study.weak(1, study.edition.weak_strong[0][0]))


def test_what_is_not_shipped_is_said_in_one_line(own):
    study, _, shipped = own
    with pytest.raises(StoreError, match="not among the results"):
        shipped.scores(study.student(1, *study.edition.weak_strong[0], "placebo"))
    with pytest.raises(StoreError, match="no table 'nothing' comes with this edition"):
        shipped.table("nothing")
    assert shipped.pairs(study.restricted_to(seeds=[3]).pairs(3)) is None


def test_what_was_read_once_is_read_again_when_it_changes_and_nobody_else_sees_what_a_reader_does_to_it(own):
    study, lab, shipped = own
    run = study.weak(1, study.edition.weak_strong[0][0])
    before = shipped.scores(run)
    counts, scores = shipped.table("counts"), shipped.scores(run)
    counts[counts.columns[-1]], scores["margin"] = -1, 0.0
    pd.testing.assert_frame_equal(shipped.scores(run), before)
    assert not counts.equals(shipped.table("counts"))
    table = shipped.table("margins-1")
    shipped.write_table("margins-1", table.assign(**{run.key: table[run.key] + 1}))
    assert np.allclose(shipped.scores(run)["margin"], before["margin"] + 1, atol=0.02)


def flipped(path: Path) -> None:
    """One bit among a column's values: Parquet has no checksum of them, and what it says would be another number."""
    whole, before = bytearray(path.read_bytes()), pd.read_parquet(path)
    for at in range(4, len(whole)):  # columns come first
        whole[at] ^= 1
        path.write_bytes(whole)
        try:
            if (after := pd.read_parquet(path)).shape == before.shape and not after.equals(before):
                return
        except Exception:  # it meets what it cannot read, of many kinds
            pass
        whole[at] ^= 1
    raise AssertionError("every bit that flips is noticed by the reader of the file")


CUT = lambda path: path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize("harm", [CUT, Path.unlink, flipped])
def test_a_damaged_file_is_named_and_to_be_restored(own, harm):
    study, _, shipped = own
    run = study.weak(1, study.edition.weak_strong[0][0])
    path = shipped.folder / "margins-1.parquet"
    harm(path)
    for read in (shipped.scores, lambda run: shipped.pairs(run.pairs)):
        with pytest.raises(StoreError, match="it comes with the edition: restore it") as error:
            read(run)
        assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert Shipped(shipped.folder).has(run), "of the other files nothing is lost"
    (shipped.folder / "records.parquet").write_text("half", encoding="utf-8")
    with pytest.raises(StoreError, match="records.parquet cannot be read .* restore it"):
        Shipped(shipped.folder)


def test_what_names_the_digests_is_needed_and_what_is_written_does_not_name_damaged_files_anew(own):
    study, _, shipped = own
    run = study.weak(1, study.edition.weak_strong[0][0])
    named = json.loads((shipped.folder / DIGESTS).read_text(encoding="utf-8"))
    assert set(named) == {path.name for path in shipped.folder.glob("*.parquet")}
    CUT(shipped.folder / "margins-1.parquet")
    shipped.write_table("counts", shipped.table("counts"))
    with pytest.raises(StoreError, match="it is not what digests.json names.*restore it"):
        shipped.scores(run)
    (shipped.folder / DIGESTS).unlink()
    with pytest.raises(StoreError, match=f"{DIGESTS} is missing; it comes with the edition"):
        Shipped(shipped.folder)


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in FOLDER.glob("*/records.parquet")))
def test_all_that_comes_with_the_project_is_as_it_was_written(folder):
    named = json.loads((FOLDER / folder / DIGESTS).read_text(encoding="utf-8"))
    came = [path for path in (FOLDER / folder).iterdir() if path.is_file() and path.name != DIGESTS]
    assert named == {path.name: digests.of_file(path) for path in came}


def test_the_pretrained_models_of_the_world_come_with_the_book_and_no_result_of_it(tmp_path, monkeypatch):
    """Each as its run left it, of the edition's seeds and models, and of no others; safetensors and no pickle."""
    study = Study(load("world"))
    lab, e = open_lab(str(tmp_path / "store"), 0, study.edition), study.edition
    models = [study.model(seed, name) for seed in e.seeds for name in e.models]
    came = [path for path in MODELS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in came} == {run.key for run in models} and len(models) == 15
    assert {path.name for path in came if path.suffix != ".json"} == {"model.safetensors", "knowledge.parquet"}
    assert sum(path.stat().st_size for path in came) < 8e6
    planned = plan_runs(runs := study.ladder_runs(), lab=lab)
    assert planned.loc[planned["there"], "key"].tolist() == [run.key for run in closure(runs) if run in models]
    assert planned.loc[planned["there"], "hours"].sum() == 0 and lab.shipped is None
    assert lab.run(models) == lab.trained == 0
    for run in models:
        lab.store.verify(run)
        model = AutoModelForSequenceClassification.from_pretrained(lab.store.path(run), num_labels=1)
        assert model.config.hidden_size == run.width and len(lab.knowledge(run)) == e.substances
    preview = open_lab(str(tmp_path / "preview"), 0, load("preview"))
    assert all(preview.is_given(run) for run in models if preview.shipped.has(run)), "its students began from these"
    began, there = [run for run in models if preview.shipped.has(run)], Store(MODELS, read_only=True)
    assert [preview.shipped.records[run.key]["files"] for run in began] == [there.record(run)["files"] for run in began]
    assert len(began) == len(e.models)
    monkeypatch.setattr("w2s_lib.lab.provenance.code", lambda: "other code than theirs")
    monkeypatch.setenv("W2S_STRICT", "yes")
    assert lab.of_other_code(models) == lab.check(models) == [], "what comes with the book is no result of other code"
    monkeypatch.delenv("W2S_STRICT")
    monkeypatch.setenv("W2S_SHIPPED", "no")
    assert open_lab(str(tmp_path / "empty"), 0, e).missing(models) == models


def test_of_a_model_that_comes_with_the_book_its_own_files_are_taken_alone(tmp_path):
    run = Study(load("world")).model(21, "tiny-24")
    there, store = Store(tmp_path / "there"), Store(tmp_path / "store")
    there.copy(run, Store(MODELS, read_only=True))
    (tmp_path / "secret").write_text("of this machine", encoding="utf-8")
    (there.path(run) / "more.txt").symlink_to(tmp_path / "secret")
    store.copy(run, there)
    names = lambda of: {path.name for path in of.path(run).iterdir()}
    assert names(store) == names(there) - {"more.txt"}
    store.verify(run)


def test_models_are_shipped_all_or_none_and_only_those_of_the_world(own, tmp_path):
    study, lab, _ = own
    with pytest.raises(ParameterError, match="edition='shipped': only models of 'world' come with the book"):
        ship.ship_models(study.on(lab), tmp_path)
    few, folder = Study(load("world", {"seeds": [21]})).on(lab), tmp_path / "models"
    (old := folder / "pretrain" / "00" / "old").mkdir(parents=True)
    *others, last = [few.model(21, name) for name in few.edition.models]
    for run in others:
        lab.store.copy(run, Store(MODELS, read_only=True))
    with pytest.raises(StoreError, match=f"Pretrain {last.key}: no result in"):
        ship.ship_models(few, folder)
    assert old.is_dir()
    lab.store.copy(last, Store(MODELS, read_only=True))
    assert ship.ship_models(few, folder) == [*others, last] and not old.exists()
    Store(folder).verify(last)


def test_a_hundred_runs_are_read_with_one_look_at_their_file(own, monkeypatch):
    study, _, shipped = own
    run, opened = study.weak(1, study.edition.weak_strong[0][0]), []
    digests._of_stamped.cache_clear()
    whole = digests.hashlib.file_digest
    monkeypatch.setattr(digests.hashlib, "file_digest", lambda *given: opened.append(given) or whole(*given))
    for _ in range(100):
        shipped.scores(run)
    assert len(opened) == 1


def test_shipped_results_are_replaced_whole_or_not_at_all(own, monkeypatch):
    study, lab, shipped = own
    before = {path.name: path.read_bytes() for path in shipped.folder.iterdir()}

    def interrupted(frame, path, **_):
        Path(path).write_text("half", encoding="utf-8")
        raise KeyboardInterrupt

    monkeypatch.setattr(pd.DataFrame, "to_parquet", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shipped.write(lab.store, [study.weak(1, study.edition.weak_strong[0][0])])
    assert {path.name: path.read_bytes() for path in shipped.folder.iterdir()} == before


def test_shipped_results_of_other_code_are_counted_and_refused(own, tmp_path, monkeypatch):
    study, _, written = own
    runs, shipped = study.student_runs(CONDITIONS), Shipped(written.folder)
    elsewhere = Lab(tmp_path / "empty", workers=0, progress=False, shipped=shipped)
    assert elsewhere.says_of_code(runs) == ""
    del shipped.records[runs[0].key]["code"]
    assert elsewhere.of_other_code(runs) == [runs[0]]
    monkeypatch.setenv("W2S_STRICT", "yes")
    with pytest.raises(StoreError, match=r"W2S_STRICT=yes: 1 of \d+ results .* \(shipped with the edition\)"):
        elsewhere.run(runs)


def test_what_is_trained_on_shipped_runs_is_trained_on_runs_of_ones_own(own, tmp_path):
    """Only margins on test pairs come with the project, and no labels."""
    study, _, written = own
    weak, strong = study.edition.weak_strong[0]
    elsewhere = Lab(tmp_path / "empty", workers=0, progress=False, shipped=Shipped(written.folder))
    missing = elsewhere.missing([study.weak(1, weak), study.student(1, weak, strong, "placebo")])
    assert study.weak(1, weak) in missing and set(study.weak(1, weak).parents()) <= set(missing)
    assert elsewhere.missing([study.weak(1, weak)]) == []


@pytest.mark.parametrize(
    ("edition", "says"), [("smoke", "its runs can be computed anywhere"), ("nowhere", "no such edition")]
)
def test_an_edition_that_cannot_be_shipped_is_refused_in_one_line(edition, says, capsys, tmp_path):
    assert ship.main(["--edition", edition, "--store", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


def test_models_and_pages_exclude_each_other_in_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        ship.main(["--edition", "preview", "--models", "--pages"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: argument --pages: not allowed with argument --models; ") and said.count("\n") == 1


@pytest.mark.parametrize(
    ("edition", "conditions", "checked"),
    [
        pytest.param("hh-smol", ("explicit", "implicit", "rerun", "placebo"), True, marks=pytest.mark.slow),
        ("hh-smol-tuned", ("explicit", "rerun"), False),
    ],
)
def test_the_editions_that_ship_need_neither_texts_nor_model(edition, conditions, checked, tmp_path, monkeypatch):
    """All that the chapter *Real models and data* shows comes from the files beside the edition."""
    monkeypatch.delenv("W2S_DATA", raising=False)
    whole = Study(load(edition, {"draws": 100}))
    study = whole.restricted_to(seeds=whole.edition.seeds[:3])  # the smoke book reads them all
    lab = open_lab(str(tmp_path), 0, study.edition)
    _, results = real_texts(study.on(lab), conditions, checked)
    assert lab.trained == 0 and not results.empty
    assert {record["spec"]["pairs"]["source"]["name"] for record in lab.shipped.records.values()} == {"hh-harmless-12k"}
    seeds, tables = (
        study.edition.seeds,
        [pd.read_parquet(path) for path in (FOLDER / edition).glob("margins-*.parquet")],
    )
    assert len(tables) == len(whole.edition.seeds)
    for table in tables:
        assert len(table) == study.edition.test_pairs and table["pair_id"].is_unique
        assert not table.select_dtypes("number").isna().any().any()
        assert (
            table["pair_id"].str.fullmatch("[0-9a-f]{12}").all()
            and table["cluster"].str.fullmatch("[0-9a-f]{12}").all()
        )
    over_seeds = pick(results, "excess_margin_matched", "explicit")
    alone = pick(results, "excess_margin_matched", "explicit", subset=ONE_DIVISION if len(seeds) > 1 else "")
    assert (over_seeds["n_seeds"], alone["n_seeds"]) == (len(seeds), 1)
    values = [value for _, value, *_ in over_seeds["by_seed"]]
    assert len(set(values)) == len(values), "every seed has runs of its own"
    assert alone["value"] == pytest.approx(over_seeds["by_seed"][0][1])
    assert alone["high"] - alone["low"] > 0.01, "over prompts"
    if checked:
        few = study.on_control_weak_strong_pairs()
        other, by_hand = replace(few, ceiling_half="ground_truth").on(lab), []
        for seed in seeds:  # a ratio of sums within the seed
            cells = [other.comparison(seed, *names, "explicit") for names in few.edition.weak_strong]
            taxed = [c.tax.sum() for c in cells]
            by_hand.append(np.average([c.excess("margin_matched") for c in cells], weights=taxed))
        found = pick(results, "excess_margin_matched", "explicit", ceiling="other")["value"]
        assert found == pytest.approx(np.mean(by_hand))
        gold = [
            few.on(lab).comparison(s, *names, c).conflict_tax()
            for c in ("gold_explicit", "gold_rerun")
            for s in seeds
            for names in few.edition.weak_strong
        ]
        expected = np.mean(gold[: len(gold) // 2]) - np.mean(gold[len(gold) // 2 :])
        assert pick(results, "conflict_tax", "gold_explicit", versus="gold_rerun")["value"] == pytest.approx(expected)
    accuracy = results.query("statistic == 'accuracy_ceiling' and weak == 'all'")["value"].iloc[0]
    assert 0.55 < accuracy < 0.8, "on noisy labels: better than chance, and no leak"


@pytest.mark.parametrize("name", ["hh-smol", "hh-smol-helpful", "hh-families", "hh-smol-tuned"])
def test_shipped_runs_are_runs_of_the_edition(name):
    study = Study(load(name))
    shipped, every = set(Shipped(FOLDER / name).records), {run.key for run in study.runs() if isinstance(run, Train)}
    if name == "hh-smol-tuned":
        assert {run.key for run in study.student_runs(CONDITIONS)} <= shipped <= every
    else:
        assert shipped == every


def test_helpful_pairs_by_people_need_neither_texts_nor_model(tmp_path, monkeypatch):
    """All that the chapter shows of them comes with the edition; every expectation has its row, and a taxed pair is
    counted by hand."""
    monkeypatch.delenv("W2S_DATA", raising=False)
    study = Study(load("hh-smol-helpful", {"seeds": [0, 1]}))
    study = study.on(open_lab(str(tmp_path), 0, study.edition))
    results = by_people(study)
    assert study.lab.trained == 0
    told = ledger({"15_real_models_and_data": results}, EXPECTED.values())
    assert not set(EXPECTED) & set(CLAIMS), "names of their own"
    assert len(told) == 5 and not told["verdict"].isin(["untested"]).any() and told["value"].notna().all()
    cells = [(seed, *pair) for seed in study.edition.seeds for pair in study.edition.weak_strong]
    tax = {
        c: [study.comparison(*cell, c).tax.mean() for cell in cells] for c in ("implicit_pandalm", "implicit_llmbar")
    }
    by_hand = np.mean(tax["implicit_pandalm"]) - np.mean(tax["implicit_llmbar"])
    assert told.set_index("claim").loc["H3", "value"] == pytest.approx(by_hand)
    drawn = figures_of_real_texts.doses(results)
    assert figures_of_real_texts.SAME_TEXTS in drawn.caption
    tax = {c: [study.comparison(*cell, c).tax.mean() for cell in cells] for c in (*DOSES, "rerun")}
    for less, more in pairwise(DOSES):
        assert study.conflict(more).share == 2 * study.conflict(less).share
        by_hand = np.mean(tax[more]) - np.mean(tax[less])
        assert pick(results, "conflict_tax", more, versus=less)["value"] == pytest.approx(by_hand)
    for dose in DOSES:
        over_prompts = pick(results, "conflict_tax", dose, versus="rerun", subset=ONE_DIVISION)
        assert over_prompts["value"] == pytest.approx(np.mean(tax[dose][:2]) - np.mean(tax["rerun"][:2]))
        assert over_prompts["low"] < over_prompts["value"] < over_prompts["high"] and say(over_prompts) in drawn.alt
    longer = Shipped(FOLDER / "hh-smol-helpful").table("longer").set_index("part")["value"]
    assert longer["pandalm"] > 0.6 > longer["all"] > 0.4 > longer["llmbar-adversarial"], "length for, and against"


def test_a_placebo_at_an_eighth_of_the_dose_is_one(tmp_path, monkeypatch):
    """Over all divisions, by hand and as the page says it; at the whole dose it is none."""
    monkeypatch.delenv("W2S_DATA", raising=False)
    study = Study(load("hh-smol-helpful"))
    study = study.on(open_lab(str(tmp_path), 0, study.edition))
    cells = [(seed, *pair) for seed in study.edition.seeds for pair in study.edition.weak_strong]
    tax = {
        c: np.mean([study.comparison(*cell, c).tax.mean() for cell in cells])
        for c in ("placebo_eighth", "placebo", "rerun")
    }
    more = pd.Series(tax) - tax["rerun"]
    assert study.lab.trained == 0 and more["placebo_eighth"] <= PLACEBO_MARGIN < more["placebo"]
    found = by_people(study.restricted_to(seeds=[0, 1]))
    for name, refused in (("placebo_eighth", False), ("placebo", True)):
        row = pick(found, "conflict_tax", name, versus="rerun")
        assert is_placebo(row) != refused and ("controls for nothing" in placebo_in_words(row)) == refused
    assert study.conflict("placebo_eighth").share == 0.125 and study.conflict("placebo_eighth").objective == "vowels"


@pytest.mark.parametrize(
    ("weak", "strong", "kind"),
    [
        ("smollm2-135m-q4:19@1.last", "smollm2-135m-q4:19@18.last", WITHIN),
        ("gemma3-270m-q4@2.last", "smollm2-135m-q4:19@18.last", ACROSS),
        ("gpt2", "gpt2-medium", ACROSS),
    ],
)
def test_layers_of_one_model_are_one_family(weak, strong, kind):
    assert findings_of_real_texts.family(weak, strong) == kind


def test_what_is_compared_across_families_is_counted_by_hand(tmp_path, monkeypatch):
    """Real scores, of which one supervisor is taken for another family's; the numbers stand in the figure."""
    monkeypatch.delenv("W2S_DATA", raising=False)
    for module in (findings_of_real_texts, figures_of_real_texts):
        monkeypatch.setattr(module, "family", lambda weak, strong: ACROSS if "@3." in weak else WITHIN)
    study = Study(load("hh-smol-helpful", {"seeds": [0, 1]}))
    study = study.on(open_lab(str(tmp_path), 0, study.edition))
    results = families(study)
    assert study.lab.trained == 0
    by_kind = dict(zip((WITHIN, ACROSS), ([pair] for pair in study.edition.weak_strong)))
    told = ledger({"15_real_models_and_data": results}, EXPECTED_ACROSS.values()).set_index("claim")
    assert not set(EXPECTED_ACROSS) & {*CLAIMS, *EXPECTED}, "names of their own"
    assert len(told) == 5 and not told["verdict"].isin(["untested"]).any()

    def by_seed(of, kind, condition="none"):
        return [np.mean([of(study.comparison(s, *p, condition)) for p in by_kind[kind]]) for s in study.edition.seeds]

    recovered = {
        kind: np.divide(
            by_seed(lambda c: c.accuracy() - c.accuracy_weak(), kind), by_seed(lambda c: c.gap(), kind)
        ).mean()
        for kind in by_kind
    }
    assert told.loc["F2", "value"] == pytest.approx(recovered[ACROSS] - recovered[WITHIN])
    alike = {kind: np.mean(by_seed(lambda c: capa(c.weak, c.ceiling), kind)) for kind in by_kind}
    assert told.loc["F1", "value"] == pytest.approx(alike[ACROSS] - alike[WITHIN])
    tax = lambda kind, condition: np.mean(by_seed(lambda c: c.conflict_tax(), kind, condition))
    found = pick(results, "conflict_tax", "explicit", ACROSS, ACROSS, versus="rerun")["value"]
    assert found == pytest.approx(tax(ACROSS, "explicit") - tax(ACROSS, "rerun"))
    drawn = figures_of_real_texts.families(results)
    assert all(say(pick(results, "pgr", "none", kind, kind)) in drawn.alt for kind in by_kind)


def test_layers_were_chosen_by_the_best_ceilings_on_other_divisions():
    """Of each family the student is the layer whose ceiling was the best of those read then, SmolLM2's first nineteen;
    Gemma's supervisors are those of its first four layers that come nearest to SmolLM2's.  Later all of SmolLM2 was
    read: no deeper layer is better by more than one pair in a thousand."""
    edition = load("hh-families")
    tried = Shipped(FOLDER / "hh-families").table("layers")
    assert set(tried["seed"]) == set(ship.CHOSEN_ON) and not set(ship.CHOSEN_ON) & set(edition.seeds)
    assert tried.groupby(["model", "layer"]).size().eq(3).all() and tried["accuracy"].between(0.5, 0.75).all()
    mean = tried.groupby(["model", "layer"])["accuracy"].mean()
    supervisors, students = ({parse(name)[::2] for name in names} for names in zip(*edition.weak_strong))
    smol, gemma = "smollm2-135m-q4", "gemma3-270m-q4"
    deepest = parse(edition.models[-2]).blocks
    assert {(smol, mean[smol].loc[:deepest].idxmax()), (gemma, mean[gemma].idxmax())} == students
    assert max(mean[smol].index) == 30 and mean[smol].loc[deepest + 1 :].max() - mean[smol][deepest] < 0.001
    first = mean[gemma].loc[1:4]
    nearest = {(gemma, (first - mean[smol][layer]).abs().idxmin()) for model, layer in supervisors if model == smol}
    assert {one for one in supervisors if one[0] == gemma} == nearest and len(nearest) == 2
    chosen = {model: [layer for base, layer in supervisors | students if base == model] for model in (smol, gemma)}
    drawn = figures_of_real_texts.accuracy_by_layer(tried, chosen)
    assert f"{gemma}: layer" in drawn.alt and f"of 30 layers the best is {mean[smol].idxmax()}" in drawn.alt


def test_ceilings_of_other_divisions_are_shipped_where_the_store_has_them(own, folders):
    study, lab, _ = own
    names = [f"{folders['llama']}:2@{layer}.last" for layer in (1, 2)]
    study = replace(study, edition=study.edition.model_copy(update={"models": tuple(names)})).on(lab)
    assert ship.layer_accuracies(study).empty
    run = study.ceiling(101, names[1])
    lab.run([run])
    (row,) = ship.layer_accuracies(study).itertuples(index=False)
    right = (lab.scores(run)["p_true"] > 0.5).mean()
    assert (row.model, row.layer, row.seed) == (str(folders["llama"]), 2, 101) and row.accuracy == pytest.approx(right)


@pytest.mark.parametrize(
    "name", ["hh-smol", "hh-smol-helpful", "hh-families", "hh-smol-tuned", "hh-smol-policies", "hh-smol-replies"]
)
def test_machines_are_those_that_the_records_name(name):
    shipped = Shipped(FOLDER / name)
    told = shipped.machines().set_index("hardware")
    assert told["runs"].sum() == len(shipped.records) > 0
    for hardware, row in told.iterrows():
        mine = [record for record in shipped.records.values() if record["hardware"] == hardware]
        assert row["runs"] == len(mine)
        assert row["minutes"] == pytest.approx(sum(record["seconds"] for record in mine) / 60)


def test_policies_on_real_texts_need_neither_texts_nor_model(tmp_path, monkeypatch):
    """What is shipped are runs of the edition; tax and excess are counted by hand; the ledger asks what its rules can,
    and only of policies."""
    monkeypatch.delenv("W2S_DATA", raising=False)
    study = Study(load("hh-smol-policies", {"draws": 100}))
    study = study.on(open_lab(str(tmp_path), 0, study.edition))
    by = {method: study.trained_by(method) for method in study.edition.methods}
    pair, (seed,) = study.edition.weak_strong[0], study.edition.seeds
    tried = ("explicit", "implicit", "rerun")
    shipped = Shipped(FOLDER / "hh-smol-policies")
    assert {run.key for one in by.values() for run in one.student_runs(tried)} == set(shipped.records)
    assert set(shipped.records) <= {run.key for run in Study(load("hh-smol-policies")).runs()}
    results = pd.concat([real_texts(one, tried, controls=False)[1] for one in by.values()], ignore_index=True)
    results = results.assign(edition="hh-smol-policies")
    assert study.lab.trained == 0 and set(results["method"]) == {"dpo", "simpo"}
    of = {(method, name): one.comparison(seed, *pair, name) for method, one in by.items() for name in tried}
    for (method, condition), c in of.items():
        assert pick(results, "conflict_tax", condition, method=method)["value"] == pytest.approx(c.tax.mean())
        assert pick(results, "deception_score", condition, method=method)["counted"] == c.tax.sum() > 0
    told = asked_of_real_texts(results).set_index("claim")
    assert list(told.index) == ["C5a", "C5b", "N14", "N15", "N16"], "of policies alone"
    excess = lambda *which: of[which].excess("margin_matched")
    for claim, method in (("N14", "dpo"), ("N15", "simpo")):
        assert told.loc[claim, "value"] == pytest.approx(excess(method, "explicit") - excess(method, "rerun"))
    assert told.loc["N16", "value"] == pytest.approx(excess("dpo", "implicit"))
    for key, row in told.iterrows():
        assert row["verdict"] in (verdict(CLAIMS[key], row["low"], row["high"]), "blind")
        over_prompts = row["high"] - row["low"] > 0.02
        assert row["n_seeds"] == 1 and (over_prompts or np.isnan(row["low"]) and row["verdict"] == "undecided")
    same = [np.array_equal(of[method, "explicit"].tax, of[method, "rerun"].tax) for method in by]
    assert same == [False, True], "by SimPO the conflict turned no ranking, and an interval of no width would decide"


def test_what_the_fine_tuned_study_has_and_lacks_is_said_by_its_runs(own):
    """A condition is shown where no run of it is missing, of any seed; each one that is not, is named."""
    study, lab, _ = own
    study = study.on(lab)
    said = lambda: tried_in_words(real_texts(study, (*CONDITIONS, *conditions_at_hand(study)), controls=False)[1])
    assert conditions_at_hand(study) == []
    assert said() == "The implicit conflict (longer replies), a placebo and gold labels were not tried on them."
    first, gold = study.restricted_to(seeds=[1]), ("gold_explicit", "gold_rerun")
    lab.run([*first.student_runs(gold), *study.student_runs(["placebo_eighth"])])
    assert conditions_at_hand(study) == ["placebo_eighth"], "of one seed there is no gold"
    assert "The implicit conflict (longer replies) and gold labels were not" in said()
    lab.run(study.student_runs(gold))
    assert conditions_at_hand(study) == ["placebo_eighth", *gold]
    cells = [(seed, *names) for seed in study.edition.seeds for names in study.edition.weak_strong]
    taxes = [[study.comparison(*cell, condition).conflict_tax() for cell in cells] for condition in gold]
    paid = f"With gold labels, the tax minus that of a gold rerun is {100 * np.subtract(*taxes).mean():.1f} % ["
    assert paid in said() and "The placebo taxes " in said()
    assert said().endswith("The implicit conflict (longer replies) was not tried on them.")
    tuned = study.edition.model_copy(update={"name": "hh-smol-tuned", "chapters": ("05", "15")})
    assert {run.key for run in study.student_runs(gold)} <= {run.key for run in Study(tuned).runs()}, "it ships"


def test_how_many_seeds_a_study_has_is_said_by_its_edition():
    two = {name: Study(load(edition)) for name, edition in (("policies", "hh-smol-policies"), ("heads", "hh-smol"))}
    assert seeds_in_words(two) == "Of policies there is one study seed, and of heads there are 8 study seeds."
    turned = {"heads": two["heads"].restricted_to(seeds=[3, 4]), "policies": two["policies"]}
    assert seeds_in_words(turned) == "Of policies there is one study seed, and of heads there are 2 study seeds."
    alike = {"a": two["policies"], "b": two["policies"]}
    assert seeds_in_words(alike) == "Of a and b there is one study seed."
    chapters = [(FOLDER.parent / f"{name}.ipynb").read_text(encoding="utf-8") for name in (REAL_TEXTS, "14_claims")]
    assert "{glue:text}`few_seeds`" in chapters[0] and "has one seed" not in chapters[0]
    typed = ("There is one seed: intervals are over prompts", "in a small edition of one seed, with intervals")
    assert all(words in text for words, text in zip(typed, chapters)), "of the policies"
    assert len(load("hh-smol-policies").seeds) == 1, "else these words are wrong"


def test_policies_on_real_texts_have_the_fine_tuned_supervisor_and_the_papers_labels_and_dose():
    tuned, policies = load("hh-smol-tuned"), load("hh-smol-policies")
    assert policies.models[0] == tuned.models[0] and policies.methods == ("dpo", "simpo")
    for method in policies.methods:
        run = Study(policies).trained_by(method).student(0, *policies.weak_strong[0], "implicit")
        assert run.labelling.hard and run.conflict.objective == "helpfulness" and run.conflict.share == 1
        assert not run.recipe.sft_epochs


@pytest.fixture(scope="module")
def on_real_texts(tmp_path_factory) -> dict[str, Study]:
    """The studies of real texts as the bridge has them, of fewer seeds."""
    of = {"frozen layers": "hh-smol", "fewer pairs": "hh-smol-helpful", "across families": "hh-families"}
    studies = {name: Study(load(edition, {"seeds": [0, 1]})) for name, edition in of.items()}
    studies["fine-tuned"] = Study(load("hh-smol-tuned", {"draws": 100}))
    store = str(tmp_path_factory.mktemp("texts"))
    studies = {name: one.on(open_lab(store, 0, one.edition)) for name, one in studies.items()}
    return studies | {"across families": findings_of_real_texts.across_families(studies["across families"])}


def test_the_row_across_families_has_no_pair_of_one_family(on_real_texts):
    pairs = on_real_texts["across families"].on_control_weak_strong_pairs().edition.weak_strong
    assert len(pairs) == 4 and {findings_of_real_texts.family(*pair) for pair in pairs} == {ACROSS}


def test_more_and_fewer_pairs_have_one_recipe_and_the_same_layers(on_real_texts):
    more, fewer = (
        on_real_texts[name].on_control_weak_strong_pairs().edition for name in ("frozen layers", "fewer pairs")
    )
    read = lambda edition: [[parse(name)[::2] for name in pair] for pair in edition.weak_strong]
    assert read(more) == read(fewer) and more.reward_model == fewer.reward_model
    assert (more.threshold, more.alpha, more.max_tokens) == (fewer.threshold, fewer.alpha, fewer.max_tokens)
    assert more.train_pairs > 3 * fewer.train_pairs


@pytest.mark.slow
def test_every_figure_of_real_texts_says_what_its_intervals_are_about(on_real_texts):
    """And the bridge's words name every study."""
    alone = {"one division": on_real_texts["frozen layers"].restricted_to(seeds=[0]).with_parameters(draws=100)}
    real = bridge.of_real_texts(on_real_texts) | bridge.of_real_texts(alone, subset=ONE_DIVISION)
    world = [
        real["fine-tuned"].assign(labels=labels, method=method) for labels, method in figures_of_bridge.SETTING_NAMES
    ]
    drawn = figures_of_bridge.bridge(pd.concat(world), real)
    for name, rows in real.items():
        row = pick(rows, MATCHED, "explicit", subset=None)
        assert f", {name}: explicit {say(row)}, rerun " in drawn.alt
    assert [len(rows["subset"].unique()) for rows in real.values()] == [1] * 5
    n = len(on_real_texts["fine-tuned"].edition.seeds)
    assert f", across families 2, fine-tuned {n}, one division 1)" in drawn.caption
    frozen, people = on_real_texts["frozen layers"], on_real_texts["fewer pairs"]
    kin = Study(load("hh-families", {"seeds": [0, 1]})).on(on_real_texts["across families"].lab)
    pooled = real_texts(frozen, CONDITIONS, controls=False)[1]
    others = [
        figures_of_real_texts.side_by_side({"frozen layers": pooled[pooled["weak"] == "all"]}, CONDITIONS),
        figures_of_real_texts.by_people(by_people(people)),
        figures_of_real_texts.families(families(kin)),
        figures_of_bridge.ceilings(bridge.by_ceiling(frozen)),
    ]
    assert all(figures_of_real_texts.SAME_TEXTS in figure.caption for figure in (drawn, *others))


def test_the_ledger_asks_fine_tuned_models_the_same(on_real_texts):
    """By their own rows, and nobody else by these."""
    rows = real_texts(on_real_texts["fine-tuned"], CONDITIONS, controls=False)[1].assign(edition="hh-smol-tuned")
    told = claims.on_real_texts(rows, claims.TUNED).set_index("claim")
    assert set(told.index) == {"C1", "C2a", "C3a", "N1", "N2", "N3"}
    n = len(on_real_texts["fine-tuned"].edition.seeds)
    assert (told.drop("C1")["n_seeds"] == n).all() and told.loc["C1", "n_seeds"] <= n, "no gap, no PGR"
    found = pick(rows, MATCHED, "explicit", versus="rerun")
    assert tuple(told.loc["N2", ["low", "high"]]) == (found["low"], found["high"])
    by_hand = ("yes" if found["high"] >= 0.05 else "small") if found["low"] > 0 else None
    by_hand = by_hand or ("no" if found["high"] < 0.05 else "undecided")
    assert told.loc["N2", "verdict"] == by_hand
    assert claims.on_real_texts(rows).empty


def test_what_a_ceiling_knows_and_what_was_attainable_is_counted_by_hand(on_real_texts):
    """On one seed, for the three students of one supervisor."""
    study = on_real_texts["frozen layers"]
    found, T = bridge.by_ceiling(study), study.edition.threshold
    of_first = [pair for pair in study.edition.weak_strong if pair[0] == study.edition.weak_strong[0][0]]
    assert [parse(strong).layer for _, strong in of_first] == [18, 14, 7] and len(found) == 9
    for pair in of_first:
        c = study.comparison(0, *pair, "explicit")
        unknown, area = c.weak <= T, (c.ceiling > T) & (c.weak <= T)
        taxed = (c.baseline > 0.5) & ~(c.conflict > 0.5)
        chance = c.chance("margin_matched")
        most = np.sort((area - chance)[c.baseline > 0.5])[::-1][: taxed.sum()].mean()
        by_hand = {
            bridge.KNOWN_BEYOND: area.sum() / unknown.sum(),
            bridge.ATTAINABLE: most,
            bridge.SHARE: (area[taxed].mean() - chance[taxed].mean()) / most,
        }
        for statistic, value in by_hand.items():
            (seed, first, *_), *_ = pick(found, statistic, "explicit", *pair)["by_seed"]
            assert (seed, first) == (0, pytest.approx(value)), statistic


def test_a_part_that_is_called_as_all_of_them_is_refused(done, tmp_path, monkeypatch):
    monkeypatch.setattr(ship, "FOLDER", tmp_path / "editions")
    pairs = pd.DataFrame(dialogues(40, (BAD, GOOD), 2)).assign(source=["a", "all"] * 20)
    (tmp_path / "helpful.jsonl").write_text(pairs.to_json(orient="records", lines=True), encoding="utf-8")
    study = replace(done[0], edition=done[0].edition.model_copy(update={"helpful": str(tmp_path / "helpful.jsonl")}))
    with pytest.raises(
        ParameterError, match="helpful=.*: a part is called 'all', as all of them together are; rename it"
    ):
        ship.ship(study.on(Lab(done[1], workers=0, progress=False)))
    assert not (tmp_path / "editions").exists()


def test_two_families_need_neither_texts_nor_models(tmp_path, monkeypatch):
    """Every supervisor has both students, so that the mean gap is the same within a family and across; every
    expectation has its row."""
    monkeypatch.delenv("W2S_DATA", raising=False)
    study = Study(load("hh-families", {"seeds": [0, 1]}))
    study = study.on(open_lab(str(tmp_path), 0, study.edition))
    results = findings_of_real_texts.families(study)
    assert study.lab.trained == 0
    pairs = study.edition.weak_strong
    supervisors, students = map(set, zip(*pairs))
    assert len(pairs) == len(supervisors) * len(students) == 8
    kinds = [findings_of_real_texts.family(*pair) for pair in pairs]
    assert kinds.count(WITHIN) == kinds.count(ACROSS) == 4
    gaps = [pick(results, "gap", "none", kind, kind)["value"] for kind in (WITHIN, ACROSS)]
    assert gaps[0] == pytest.approx(gaps[1]) and gaps[0] > 0.01
    told = ledger({"15_real_models_and_data": results}, EXPECTED_ACROSS.values())
    assert len(told) == 5 and not told["verdict"].isin(["untested"]).any() and told["value"].notna().all()
    assert sum(path.stat().st_size for path in (FOLDER / "hh-families").iterdir()) < 3e6


def test_the_preview_is_the_world_with_one_seed_and_all_its_runs():
    world, preview = load("world"), load("preview")
    apart = {"name", "title", "seeds", "draws", "record_of", "chapters"}
    assert preview.model_dump(exclude=apart) == world.model_dump(exclude=apart)
    assert set(preview.seeds) < set(world.seeds) and not {name[:2] for name in NOT_SHIPPED} & set(preview.chapters)
    assert {run.key for run in closure(Study(preview).runs())} == set(Shipped(FOLDER / "preview").records)
    assert record.rows_of(preview).equals(record.rows_of(world)) and len(record.rows_of(preview))
    assert sum(path.stat().st_size for path in (FOLDER / "preview").iterdir() if path.name != PACK) < 6e6


def test_the_preview_needs_no_model(tmp_path):
    """What models know and reply, on which pairs they are right, and how one was trained come from the files."""
    study = Study(load("preview", {"draws": 100}))
    study = study.on(open_lab(str(tmp_path), 0, study.edition))
    few, (seed,) = study.on_control_weak_strong_pairs(), study.edition.seeds
    facts, ladder = ladder_results(study)
    assert set(facts["model"]) == set(study.edition.models) and not ladder.empty
    watched = paths(few, seed, *few.edition.weak_strong[0])
    assert set(watched["region"]) == set(REGIONS) and watched.groupby("step").size().nunique() == 1
    said = study.lab.replies(next(run for run in study.policy_runs() if run.method == "simpo"))
    assert list(said.columns) == ["pair_id", "reply", "says"] and len(said) > 100
    training = few.comparison(seed, *few.edition.weak_strong[0], "explicit", on="weak_label")
    assert len(training.weak) == study.edition.train_pairs and training.accuracy_weak() > 0.6
    assert study.lab.trained == 0 and not list(tmp_path.rglob("record.json"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "08_mechanism", "13_what_helps", "21_another_loss", "25_bridge", "28_two_remedies",
        "29_competence_and_conformity", "30_label_again", "31_token_by_token", "32_many_agents",
    ],
)  # fmt: skip
def test_chapters_of_the_preview_train_nothing(name, tmp_path):
    """Of those that read most: doses, trainings that were watched; mitigations of all kinds; tokens, and societies."""
    study = Study(load("preview", {"draws": 100}))
    study = study.on(open_lab(str(tmp_path), 0, study.edition))
    assert not FINDINGS[name](study)[1].empty and study.lab.trained == 0
    assert study.edition.has_chapter(name[:2])


def test_what_is_shipped_of_the_world_is_what_was_computed(study, lab, tmp_path, monkeypatch):
    monkeypatch.setattr(ship, "FOLDER", tmp_path / "editions")
    study = Study(load("smoke", {"record_of": "smoke", "chapters": list(load("preview").chapters)}))
    shipped = ship.ship(study.on(lab))
    there = Lab(tmp_path / "empty", workers=0, progress=False, shipped=shipped)
    assert there.missing(study.runs()) == []
    seed, names = study.edition.seeds[0], study.edition.weak_strong[0]
    for split in ("test", "weak_label"):
        frames = [one.scores(study.student(seed, *names, "explicit"), split) for one in (lab, there)]
        pd.testing.assert_frame_equal(*frames, rtol=1e-6)
    model, policy = study.model(seed, names[0]), next(run for run in study.policy_runs() if run.method == "dpo")
    pd.testing.assert_frame_equal(lab.knowledge(model), there.knowledge(model))
    pd.testing.assert_frame_equal(lab.replies(policy), there.replies(policy))
    society = next(run for run in study.society_runs() if isinstance(run, Society))
    pd.testing.assert_frame_equal(lab.scores(society), there.scores(society), rtol=1e-6)
    pd.testing.assert_frame_equal(lab.replies(society), there.replies(society))
    pd.testing.assert_frame_equal(paths(study.on(lab), seed, *names), paths(study.on(there), seed, *names), rtol=1e-6)
    with pytest.raises(StoreError, match="no replies among the results"):
        shipped.of_run(model, "replies")


@pytest.mark.slow
@pytest.mark.parametrize("finding", [controls, capability_gap, conflict])
def test_no_chapter_of_the_edition_needs_a_run_that_it_does_not_name(finding, tmp_path):
    """A run that a chapter trained by itself would be missing from the plan, and from what is shipped."""
    study = Study(load("hh-smol", {"seeds": [0], "draws": 100}))
    lab = open_lab(str(tmp_path), 0, study.edition)
    finding(study.on(lab))
    assert lab.trained == 0


def test_what_was_shipped_of_runs_that_the_store_lacks_stays(own):
    study, lab, shipped = own
    runs = study.student_runs(CONDITIONS)
    before, gone = [shipped.scores(run) for run in runs], lab.store.path(runs[-1])
    name = f"margins-{runs[0].pairs.seed}"
    frame = shipped.table(name)
    shipped.write_table(name, frame.assign(**{runs[0].key: frame[runs[0].key] + 1}))
    shutil.rmtree(gone)
    again = ship.ship(study.on(lab))
    assert not gone.exists(), "nothing is trained for it"
    assert list(again.records) == list(shipped.records) and again.has(runs[-1])
    for run, kept in zip(runs, before, strict=True):
        pd.testing.assert_frame_equal(Shipped(again.folder).scores(run), kept)  # of what the store has, the store's
    name = f"margins-{runs[-1].pairs.seed}"
    shipped.write_table(name, shipped.table(name).iloc[::-1])
    with pytest.raises(StoreError, match="its margins that were shipped are of other pairs; run it again"):
        ship.ship(study.on(lab))
    for path in list(lab.store.root.rglob("record.json")):
        shutil.rmtree(path.parent)
    with pytest.raises(ParameterError, match="none of its runs is in"):
        ship.ship(study.on(lab))
