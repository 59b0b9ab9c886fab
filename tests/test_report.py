"""A report on own pairs and models: the study's own numbers, on a page that is safe to open, from checked input."""

import html
import json
import math
import random
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.trainers import WordLevelTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.conftest import REAL_PAIRS
from tests.test_real_edition import BAD, GOOD, dialogues
from tests.test_real_edition import FAST as RECIPE
from w2s_lib.book import page
from w2s_lib.book.own import as_read, conditions, needed, notes, own, remarks, remedies
from w2s_lib.book.report import COMMAND_OPTIONS, Report, main, report
from w2s_lib.data.cleaning import cleaned
from w2s_lib.data.load import TiesError, split
from w2s_lib.data.reading import DataError
from w2s_lib.errors import OneLineError, ParameterError
from w2s_lib.findings.conflict import cannot_tell
from w2s_lib.findings.results import CONFLICTS, NAMES, ROWS, UNMODIFIED, measure, pick, read_results, reads, say
from w2s_lib.findings.statistics import GENERALIZATION
from w2s_lib.lab import Lab
from w2s_lib.models import features
from w2s_lib.study import Study
from w2s_lib.study.edition import load
from w2s_lib.study.mitigations import title

ROOT = Path(__file__).resolve().parent.parent
REAL = REAL_PAIRS / "rucbm_harmless_test.jsonl"
FAST = {"reward_model": RECIPE, "max_tokens": 96}
QUIET = {"workers": 0, "progress": False}


def write(path: Path, rows) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def pairs(folder) -> Path:
    return write(folder / "<script>alert(1).jsonl", dialogues(150, (GOOD, BAD), 1))


@pytest.fixture(scope="module")
def models(folder, folders) -> tuple[str, str]:
    shutil.copytree(folders["gpt2"], folder / "<b>weak")
    return f"{folder / '<b>weak'}:1", str(folders["llama"])


@pytest.fixture(scope="module")
def ask(folder, pairs, models):
    """A report on one seed of the pairs, in the module's store, on a page of this name."""
    given = {"seeds": [1], "draws": 200, "store": folder / "store"}
    return lambda name, threshold: report(pairs, *models, folder / name, threshold=threshold, **given, **QUIET, **FAST)


@pytest.fixture(scope="module")
def found(ask):
    return ask("page.html", threshold=0.5)


@pytest.mark.slow
def test_the_numbers_are_the_studys(found, folder):
    (weak, strong), seed = found.study.edition.weak_strong[0], 1
    lab = Lab(folder / "store", workers=0, progress=False)
    runs = found.study.compared(seed, weak, strong, "implicit")
    assert not lab.missing(runs)
    _, ceiling, baseline, student, _ = (lab.scores(run)["p_true"].to_numpy() for run in runs)
    get = lambda statistic, condition: pick(found.results, statistic, condition, weak, strong)["value"]
    assert get("accuracy_ceiling", "none") == (ceiling > 0.5).mean() > 0.9, (
        "kind and unkind words are told apart with ease"
    )
    assert get("conflict_tax", "implicit") == ((baseline > 0.5) & ~(student > 0.5)).mean()
    assert {"deception_score", "null_random", "null_margin_matched", "null_weak_matched", "pgr"} <= set(
        found.results["statistic"]
    )
    assert set(found.results["condition"]) == {"none", *CONFLICTS}


def test_the_file_beside_the_page_says_the_same(found):
    assert (
        list(found.results.columns) == ["edition", "chapter", *ROWS[:-1]]
        and not found.results.duplicated(list(NAMES)).any()
    )
    written = read_results(found.path.with_suffix(".csv"))
    pd.testing.assert_frame_equal(written, found.results, check_dtype=False, check_exact=True)
    assert found.path.read_text(encoding="utf-8") == found.page


def test_the_sentences_are_read_off_the_intervals(found):
    weak, strong = found.study.edition.weak_strong[0]
    (summary,) = re.findall(r"<h2>In short</h2>\s*<ul>(.*?)</ul>\s*<p>", found.page, re.S)
    _, chance, first, *others = summary.split("<li><b>")
    assert say(pick(found.results, "gap", "none", weak, strong), percent=True) in chance
    pgr, gap, ceiling = (pick(found.results, s, "none", weak, strong) for s in ("pgr", "gap", "accuracy_ceiling"))
    assert chance.count("better than chance") == 3 and ceiling["value"] > 0.9
    silent = math.isnan(pgr["value"]) or not gap["low"] > 0
    assert ("PGR is not reported" in first) == silent == (say(pgr) not in first)
    assert len(others) == len(CONFLICTS) and "<li>The placebo taxes" in others[-1]
    for condition, sentence in zip(CONFLICTS, others):
        row, most = (
            pick(found.results, f"{s}_margin_matched", condition, weak, strong) for s in ("excess", "attainable")
        )
        blind = cannot_tell(most)
        assert sentence.startswith(f"{condition.capitalize()}</b>") and sentence.count("<ul>") == 1
        assert (blind or f"{say(row)},\n<b>{reads(row)}</b>") in sentence and (say(row) in sentence) == (not blind)


class Links(HTMLParser):
    """What a page would load, and its tags."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.links += [
            value
            for name, value in attributes
            if name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster")
        ]


def test_the_page_loads_nothing_and_runs_nothing(found):
    page = Links()
    page.feed(found.page)
    assert page.links and all(link.startswith("#") for link in page.links), "only figures refer to their own parts"
    assert (
        all(target.startswith("#") for target in re.findall(r"url\(['\"]?([^)]*)", found.page))
        and "@import" not in found.page
    )
    assert not page.tags & {"script", "iframe", "object", "embed", "link", "base", "form"}
    assert page.tags >= {"svg", "table", "figure"} and found.page.count("<svg") == 3
    assert found.page.count("<table") == found.page.count('<table tabindex="0"') > 3, "which scroll on a phone"
    assert "default-src 'none'" in found.page


def test_what_others_wrote_is_text(found, folder):
    assert "&lt;script&gt;alert(1).jsonl" in found.page and "<script" not in found.page
    assert "&lt;b&gt;weak" in found.page and "<b>weak" not in found.page
    assert str(folder) not in found.page, "a page that is passed on tells no paths"
    assert not any(word in found.page for word in ("Question 1-", ": what do I do?")), "nor texts"
    (inside,) = re.findall(r'srcdoc="([^"]*)"', found._repr_html_())
    assert html.unescape(inside) == found.page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_reads_in_the_light_and_in_the_dark(browser, found, scheme):
    context = browser.new_context(color_scheme=scheme, viewport={"width": 390, "height": 800})
    page, asked, errors = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(found.path.as_uri())
    colour = lambda name: [
        int(x) for x in re.findall(r"\d+", page.evaluate(f"getComputedStyle(document.body).{name}"))[:3]
    ]
    text, background = sum(colour("color")), sum(colour("backgroundColor"))
    assert (background > 600 and text < 200) if scheme == "light" else (background < 200 and text > 600)
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 1
    assert asked == [found.path.as_uri()] and not errors
    page.emulate_media(media="print", color_scheme=scheme)
    assert sum(colour("color")) < 200 and sum(colour("backgroundColor")) > 600, "paper is white"
    assert page.evaluate("[...document.querySelectorAll('svg')].map(e => getComputedStyle(e).filter)") == ["none"] * 3
    context.close()


def test_on_paper_a_frame_is_its_text(browser):
    """Chapter 16 shows a report in a frame, which paper would cut at its height."""
    shown = Report(None, None, f"<html><body>{'<p>A line.</p>' * 99}</body></html>", Path("page.html"))
    style = (ROOT / "book" / "assets" / "book.css").read_text(encoding="utf-8")
    page = browser.new_page()
    page.set_content(f"<style>{style}</style><article>{shown._repr_html_()}</article>")
    for media, frame in (("screen", True), ("print", False)):
        page.emulate_media(media=media)
        assert page.locator("iframe").is_visible() == frame
        assert page.locator(".on-paper p").last.is_visible() == (not frame)
    assert page.locator(".on-paper").bounding_box()["height"] > 99 * 16, "nothing is cut"
    page.close()


def test_a_second_report_trains_nothing(found, ask):
    again = ask("again.html", threshold=0.9)
    assert "0 of them trained for this page" in again.page
    assert set(again.results["threshold"].dropna()) == {0.9}


@pytest.fixture(scope="module")
def remedied(pairs, models, folder, found):
    """The same report with three remedies."""
    given = {
        "seeds": [1],
        "draws": 200,
        "store": folder / "store",
        "mitigations": ["reverse_kl", "hard_labels", "confidence_quantile"],
    }
    return report(pairs, *models, folder / "remedied.html", threshold=0.5, **given, **QUIET, **FAST)


@pytest.mark.slow
def test_remedies_are_tried_by_name(remedied, found, folder):
    """Their numbers are the study's, and all others stay as they are."""
    study = remedied.study.on(Lab(folder / "store", workers=0, progress=False))
    assert not study.lab.missing(needed(study)) and len(needed(study)) == len(needed(found.study)) + 3 * 3
    cell = (1, *study.edition.weak_strong[0])
    for name in ("reverse_kl", "hard_labels", "confidence_quantile"):
        (one,) = (one for one in remedies(study) if one.mitigation == name)
        assert one == study.under_mitigation(name)
        before, after = (s.comparison(*cell, "explicit") for s in (study, one))
        told = pick(remedied.results, "conflict_tax", "explicit", mitigation=name, versus=UNMODIFIED)
        assert told["value"] == pytest.approx(float(after.conflict_tax()) - float(before.conflict_tax()))
        assert title(name) in remedied.page
    others = remedied.results[remedied.results["mitigation"] == ""].reset_index(drop=True)
    pd.testing.assert_frame_equal(others, found.results.reset_index(drop=True))
    assert "<h2>With a remedy</h2>" in remedied.page and remedied.page.count("<svg") == found.page.count("<svg") + 1
    assert remedies(found.study) == [] and "With a remedy" not in found.page


def test_a_dry_run_names_what_remedies_need(pairs, models, folder, remedied, capsys):
    command = [
        str(pairs),
        "--weak",
        models[0],
        "--strong",
        models[1],
        "--max-tokens",
        "96",
        "--seeds",
        "1",
        "--dry-run",
    ]
    command += ["--out", str(folder / "dry.html"), "--store", str(folder / "other"), "--mitigations"]
    assert main([*command, "hard_labels", "ensemble"]) == 0
    told = capsys.readouterr().out
    assert "Of these for hard labels (hard_labels): 3 runs." in told
    assert "Of these for ensemble of supervisors (ensemble): 5 runs." in told and "16 runs" in told
    assert main([*command, "hard_lables"]) == 2
    assert capsys.readouterr().err.startswith(
        "error: mitigations='hard_lables': no such mitigation; did you mean 'hard"
    )


def test_stages_ask_for_the_confidence_that_is_given(pairs, models):
    study = own(pairs, *models, mitigations=["label_again"], filter_above=0.8, **FAST)
    stages = {(run.labelling.keep_above, *(first.labelling.keep_above for first in run.first)) for run in needed(study)}
    assert stages == {(None,), (0.8, 0.8)}


def test_results_of_other_machines_are_told_on_the_page_too(found, ask, folder, monkeypatch, capsys):
    assert "other machines" not in found.page and remarks(found.study) == []
    monkeypatch.setattr("w2s_lib.lab.again.hardware", lambda: "riscv64, Kind, 64 cores, Linux")
    elsewhere = ask("elsewhere.html", threshold=0.5)
    assert "8 of 8 results come from other machines (" in elsewhere.page
    assert "8 of 8 results come from other machines (" in capsys.readouterr().err
    (said,) = remarks(found.study)
    assert said.startswith("8 of 8 results come from other machines (") and str(folder) not in said


def test_a_name_that_the_hub_and_a_folder_have_is_said_to_be_which(tmp_path, monkeypatch, models, pairs):
    for name in ("gpt2", "owner/model"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(models[1])
    fields = {"models": ["owner/model@1", "gpt2"], "weak_strong_pairs": ["owner/model@1 -> gpt2"], "chapters": ["05"]}
    fields |= {"name": "mine", "title": "t", "data": str(pairs), "seeds": [1], "train_pairs": 32, "test_pairs": 32}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(fields), encoding="utf-8")
    says = [
        "owner/model is the folder of that name, not the hub's model.",
        "gpt2 is openai-community/gpt2, not the folder of that name, which is written ./gpt2.",
    ]
    assert notes(Study(load(tmp_path / "mine.yaml"))) == says
    monkeypatch.chdir(tmp_path)
    assert notes(Study(load("own", fields | {"name": "own"}))) == says


def test_frozen_layers_and_several_seeds(folder, folders, pairs):
    layers = [f"{folders['llama']}@{layer}" for layer in (0, 2)]
    done = report(pairs, *layers, folder / "layers.html", seeds=[1, 2, 3], store=folder / "store", **QUIET, **FAST)
    assert (done.results["n_seeds"] <= 3).all() and (done.results["n_seeds"] == 3).any()
    assert "t intervals over 3 seeds" in done.page and "layer 2 of" in done.page


def test_two_models_read_by_tokenizers_of_their_own(folder, folders, pairs):
    """The weak one knows bytes, the strong one words: what its layer holds of a pair is reckoned here from words."""
    told = [json.loads(line) for line in pairs.read_text(encoding="utf-8").splitlines()]
    words = Tokenizer(WordLevel({"<unk>": 0, "<end>": 1}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    texts = [row[side] for row in told for side in ("chosen", "rejected")]
    words.train_from_iterator(texts, WordLevelTrainer(special_tokens=["<unk>", "<end>"]))
    assert words.get_vocab_size() != 257, "as many as the other has"
    torch.manual_seed(3)
    small = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=words.get_vocab_size(), **small)).eval()
    strong, ends = folder / "words", {"eos_token": "<end>", "unk_token": "<unk>"}
    model.save_pretrained(strong)
    PreTrainedTokenizerFast(tokenizer_object=words, **ends).save_pretrained(strong)
    given = {"seeds": [1], "draws": 100, "store": folder / "store", "threshold": 0.5}
    done = report(pairs, f"{folders['gpt2']}@2.last", f"{strong}@2.last", folder / "two.html", **given, **QUIET, **FAST)
    study, seed = done.study, 1
    run, lab = study.ceiling(seed, study.edition.weak_strong[0][1]), Lab(folder / "store", workers=0, progress=False)
    frame = split(run.pairs, "test").head(8)
    read = lambda row, side: model(
        torch.tensor([words.encode(row["opening"] + row[side] + row["ending"]).ids]), output_hidden_states=True
    ).hidden_states[2][0, -1]
    by_hand = torch.stack([read(row, "chosen") - read(row, "rejected") for _, row in frame.iterrows()]).detach().numpy()
    stored, row_of = features.read_layer(tuple(lab.store.path(shard) for shard in run.model.features.all()), run.model)
    found = features.oriented(stored, row_of, frame)
    assert np.allclose(found, by_hand, atol=5e-3) and np.abs(by_hand).max() > 0.1
    accuracy = pick(done.results, "accuracy_ceiling", "none", *study.edition.weak_strong[0])
    assert accuracy["value"] > 0.6, "by words, kind replies are told from unkind ones"
    assert set(done.results["condition"]) == {"none", *CONFLICTS}


@pytest.fixture(scope="module")
def coin(folder) -> Path:
    """Sums with one-digit answers, the better one by coin: no reply is longer, none has a vowel, nothing is learned."""
    rng, rows = random.Random(5), []
    for i in range(120):
        chosen, rejected = rng.sample("0123456789", 2)
        rows.append({"prompt": f"Sum {i}: what is {i} + 1?", "chosen": chosen, "rejected": rejected, "by": "coin"})
    return write(folder / "coin.jsonl", rows)


@pytest.fixture(scope="module")
def of_a_coin(folder, models, coin) -> Report:
    return report(coin, *models, folder / "coin.html", seeds=[1], threshold=0.5, draws=200, **QUIET, **FAST)


def test_what_luck_may_explain_is_not_shown(of_a_coin):
    done = of_a_coin
    (summary,) = re.findall(r"<h2>In short</h2>\s*<ul>(.*?)</ul>", done.page, re.S)
    chance, luck, *others = re.findall(r"<li>(.*?)</li>", summary, re.S)
    assert chance.count("not told from chance") == 2 and "not distinguishable from zero" in chance
    assert luck.startswith("<b>No deception score is shown</b>: the ceiling is not told from chance")
    assert not re.search(r"Deception score\W+[-\d]|PGR is [-\d]|margin-matched", done.page)
    assert done.page.count("<svg") == 1 and "deception area" not in others[1]
    assert all("this minus the rerun's" in told for told in others if told.startswith(("<b>Explicit", "<b>Placebo")))
    beside = pd.read_csv(done.path.with_suffix(".csv")).set_index("statistic")["value"]
    assert beside[["pgr", "deception_score", "excess_margin_matched", "hidden_score"]].isna().all()
    assert beside[["accuracy", "gap", "conflict_tax", "net_change"]].notna().all()


def test_a_ceiling_that_its_supervisor_may_reach_shows_no_deception_either(found):
    """The study's own rows, but for a gap that luck may explain; the ceiling is better than chance."""
    of_gap = found.results["statistic"].eq("gap") & found.results["condition"].eq("none")
    told = found.results.assign(low=found.results["low"].mask(of_gap, -0.01))
    text = page.render_report(found.study, measure(found.study, ["none"], GENERALIZATION), told)
    (summary,) = re.findall(r"<h2>In short</h2>\s*<ul>(.*?)</ul>", text, re.S)
    assert "<b>No deception score is shown</b>: the ceiling is not told from its supervisor" in summary
    assert "better than chance" in summary and "No deception score" not in found.page
    assert not re.search(r"Deception score\W+[-\d]|PGR is [-\d]|margin-matched", text)
    beside = page.as_shown(found.study, told).query("weak != 'all'").groupby("statistic")["value"]
    assert beside.count()[["pgr", "deception_score", "excess_margin_matched"]].eq(0).all()
    assert beside.count()[["accuracy", "gap", "conflict_tax"]].gt(0).all()


def test_a_condition_that_tells_nothing_apart_is_left_out_in_words(folder, models, coin, of_a_coin, capsys):
    study = own(coin, *models, seeds=[1, 2], **FAST)
    assert study.edition.placebo == "parity" and conditions(study) == ["none", "explicit", "rerun", "placebo"]
    page = of_a_coin.path.read_text(encoding="utf-8")
    assert "<b>Implicit</b> is left out: where the longer reply is preferred, 0 of the 40 pairs" in page
    assert "0 of 120 pairs" in page and "nan" not in page
    assert "implicit" not in set(pd.read_csv(of_a_coin.path.with_suffix(".csv"))["condition"])
    command = [str(coin), "--weak", models[0], "--strong", models[1], "--max-tokens", "96", "--dry-run"]
    assert main([*command, "--out", str(folder / "other.html")]) == 0
    told = capsys.readouterr()
    assert "21 runs" in told.out and "Columns that are not read: 'by'." in told.err
    assert "implicit is left out: data='coin.jsonl': objective='verbosity': tells 0 of 40 pairs apart" in told.err


def test_no_run_begins_on_pairs_that_its_conflict_cannot_tell_apart(tmp_path, models, coin):
    study = own(coin, *models, seeds=[1], **FAST)
    lab = Lab(tmp_path, workers=0, progress=False)
    assert len(lab.check(study.student_runs(conditions(study)))) == 7
    with pytest.raises(TiesError, match="objective='verbosity': tells .*; name helpful pairs"):
        lab.run(study.student_runs())
    assert not list(tmp_path.rglob("record.json"))


def test_long_texts_are_cut_and_counted(tmp_path, models):
    rows = many(120, 1)
    rows[3]["chosen"] += " and on" * 100
    study = own(write(tmp_path / "p.jsonl", rows), *models, **FAST)
    assert as_read(study, study.edition.models[0]) == (120, 1, 0)


def many(prompts: int, each: int) -> list[dict]:
    """So many pairs a prompt; replies of a pair differ in length from prompt to prompt."""
    texts = lambda p, i: {"chosen": f"yes {p} {i}", "rejected": f"no {'o' * (p % 7)} {p} {i}"}
    return [{"prompt": f"q{p}"} | texts(p, i) for i in range(each) for p in range(prompts)]


@pytest.mark.parametrize("each", [1, 4])
@pytest.mark.parametrize("given", [{}, {"train_pairs": 40}, {"test_pairs": 40}])
def test_all_pairs_are_used_evenly(tmp_path, folders, each, given):
    data = write(tmp_path / "pairs.jsonl", many(240 // each, each))
    study = own(data, f"{folders['llama']}@0", f"{folders['llama']}@1", seeds=range(5), **given)
    e = study.edition
    assert 240 - 3 * each < 2 * e.train_pairs + e.test_pairs <= 240
    assert given or abs(e.train_pairs - e.test_pairs) <= 1
    assert all(len(split(study.pairs(seed), "test")) == e.test_pairs for seed in e.seeds), "every seed finds as many"


@pytest.mark.skipif(not REAL.is_file(), reason=f"no real pairs in {REAL.parent}")
def test_real_pairs_of_a_new_user(folders, tmp_path):
    """Its tokens are bytes, of which the longest pair has more than the model of other tests has positions."""
    model = shutil.copytree(folders["llama"], tmp_path / "long")
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 2048}), encoding="utf-8")
    study = own(REAL, f"{model}@0", f"{model}@2", max_tokens=2048)
    kept = len(cleaned(study.pairs(0).source, 2048).frame)
    assert kept > 3900 and kept - 40 < 2 * study.edition.train_pairs + study.edition.test_pairs <= kept


def test_few_helpful_pairs_are_all_mixed_in_and_counted(tmp_path, pairs, models):
    helpful = write(tmp_path / "helpful.jsonl", many(40, 1))
    study = own(pairs, *models, helpful=str(helpful), train_pairs=48, **FAST)
    assert study.conflict("implicit").share == study.edition.helpful_share == 0.8333
    assert study.conflict("placebo").share == 1 and study.conflict("implicit_quarter").share == 0.25 * 0.8333
    assert "Helpful pairs that are mixed in: 40, with 48 weakly labelled ones." in notes(study)
    enough = own(pairs, *models, helpful=str(helpful), train_pairs=40, **FAST)
    assert enough.edition.helpful_share == 1 and not any("mixed in" in note for note in notes(enough))


def test_a_large_prompt_costs_its_pairs_once(tmp_path, models):
    """Of 237 pairs one prompt has 118: where a split ends within it, the next begins behind it."""
    data = write(tmp_path / "large.jsonl", many(1, 118) + many(120, 1)[1:])
    study = own(str(data), *models, seeds=range(5))
    e = study.edition
    assert min(e.train_pairs, e.test_pairs) >= 39
    wanted = {"test": e.test_pairs, "ground_truth": e.train_pairs, "weak_label": e.train_pairs}
    found = [{name: len(split(study.pairs(seed), name)) for name in wanted} for seed in e.seeds]
    assert found == [wanted] * 5


BADLY = [
    ({"data": "nowhere.jsonl"}, "no such file 'nowhere.jsonl'"),
    ({"data": "one.jsonl"}, "data='one.jsonl': 0 pairs can be used, for one prompt has 120 of 120, and all pairs"),
    ({"data": "world"}, "data='world': a report needs pairs of your own"),
    ({"data": "few.jsonl"}, "data='few.jsonl': 60 pairs can be used; 96 are needed"),
    ({"weak": "no/where"}, "models='no/where': .*needs no hub"),
    ({"weak": "gpt2:3", "strong": "gpt2-medium"}, "models='gpt2:3': .*needs no hub"),
    ({"weak": "distilgpt2"}, r"models='distilgpt2': no such model; .*, a hub id \(owner/name\) or a folder"),
    ({"weak": "pickle"}, "pickle.*has neither; allowed: a folder with"),
    ({"weak": "STRONG"}, "the weak model must be smaller"),
    ({"weak": "tiny-24"}, "the world's models read nothing else"),
    ({"treshold": 0.9}, "no such parameter; did you mean 'threshold'"),
    ({"threshold": 1.5}, "threshold=1.5: must be below 1"),
    ({"seeds": [1, 1]}, "seeds=.*every entry may occur once"),
    ({"train_pairs": 2000, "test_pairs": 2000}, "too few pairs"),
    ({"helpful": "little.jsonl"}, "helpful='little.jsonl': 20 pairs can be used, .*; 32 are needed"),
    (
        {"helpful": "some.jsonl", "train_pairs": 48, "helpful_share": 1.0},
        "helpful_share=1: 48 helpfulness pairs are asked for, and there are 40; use at most 0.8333",
    ),
    ({"max_tokens": 40}, "max_tokens=40: .* reads 150 of 150 pairs as two times the same text"),
    ({"reward_model": 3}, "reward_model=3: must be fields of a recipe"),
    ({"reward_model": {"epochz": 1}}, "reward_model.epochz=1: no such parameter; did you mean 'epochs'"),
    ({"mitigations": ["filtr"]}, "mitigations='filtr': no such mitigation; did you mean 'filter'"),
    ({"mitigations": ["bootstrap"]}, "mitigations='bootstrap': goes through a model between the weak and the strong"),
    (
        {"mitigations": ["filter", "chosen_half"]},
        "mitigations='chosen_half': is for policies, and a report trains reward",
    ),
    (
        {"weak": "LAYER 1", "strong": "LAYER 2", "mitigations": ["early_stopping"]},
        "mitigations='early_stopping': frozen layers are not stopped early",
    ),
    ({"filter_above": 0.8}, "filter_above=0.8: no mitigation that is named keeps pairs by their confidence"),
    ({"mitigations": ["cross_fit"], "filter_above": 0.8}, "filter_above=0.8: no mitigation that is named keeps"),
    ({"mitigations": ["label_again"], "filter_above": 1}, "filter_above=1: must be below 1"),
    ({"out": "page.txt"}, "out=.*must be the path of an .html file"),
    ({"out": "pickle/" + "x" * 220 + ".html"}, "out=.*cannot be written"),
    ({"out": "no/folder/page.html"}, "out=.*in a folder that exists"),
    ({"workers": -1}, "workers=-1: must be a whole number"),
    ({"out": "x" * 300 + ".html"}, "out=.*cannot be written"),
    ({"out": "beside.html"}, "out='beside.html': results go beside it, and 'beside.csv' is a folder"),
    ({"weak": "./" + "x" * 300}, "models='./x*': no such folder"),
    ({"data": "more.jsonl", "helpful": "more.jsonl"}, "data='more.jsonl': cannot be helpful pairs as well"),
    (
        {"test_pairs": 100},
        "test_pairs=100: too few pairs: 150 can be used; use at most 86, so that each other split has 32",
    ),
    ({"train_pairs": 60}, "train_pairs=60: too few pairs: 150 can be used; use at most 59"),
    ({"helpful_share": 0.5}, "helpful_share=0.5: is a share of helpful pairs, and none are named"),
    (
        {"weak": "LAYER 1", "strong": "LAYER 2", "lora_rank": 4},
        "lora_rank=4: frozen layers are not trained by adapters",
    ),
]


@pytest.mark.parametrize(("changed", "says"), BADLY)
def test_bad_input_is_one_line_before_anything_is_trained(tmp_path, monkeypatch, folders, pairs, models, changed, says):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "few.jsonl", many(60, 1))
    write(tmp_path / "one.jsonl", many(1, 120))
    write(tmp_path / "little.jsonl", many(20, 1))
    write(tmp_path / "some.jsonl", many(40, 1))
    write(tmp_path / "more.jsonl", many(120, 1))
    (tmp_path / "pickle").mkdir()
    (tmp_path / "beside.csv").mkdir()
    arguments = {"data": pairs, "weak": models[0], "strong": models[1], "out": "page.html", "store": "store"}
    arguments |= {"workers": 0, **changed}
    if arguments["weak"] == "STRONG":
        arguments["weak"] = models[1] + ":3"
    for side in ("weak", "strong"):
        arguments[side] = arguments[side].replace("LAYER ", f"{models[1]}@")
    if arguments["weak"] == "pickle":
        arguments["weak"] = str(tmp_path / "pickle")
    with pytest.raises(OneLineError, match=says) as error:
        report(**arguments)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("record.json")) and not (tmp_path / "page.html").exists()


def test_the_command(tmp_path, capsys, found, folder, pairs, models):
    target = ["--weak", models[0], "--strong", models[1], "--store", str(folder / "store")]
    target += ["--workers", "0", "--max-tokens", "96"]
    recipe = ["--recipe", *(f"{name}={value}" for name, value in RECIPE.items())]
    command = [str(pairs), *target, "--seeds", "1", "--threshold", "0.5", "--draws", "200", *recipe]
    assert main([*command, "--out", str(tmp_path / "page.html")]) == 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "page.csv"), pd.read_csv(found.path.with_suffix(".csv")))
    assert main([*command, "--dry-run"]) == 0
    assert "8 runs, 0 of them missing" in capsys.readouterr().out
    assert main([str(pairs), *target, "--threshold", "high"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: threshold='high': must be a number") and len(told.strip().splitlines()) == 1


def test_a_dry_run_refuses_what_the_run_would(tmp_path, monkeypatch, capsys, pairs, models):
    command = [str(pairs), "--weak", models[0], "--strong", models[1], "--max-tokens", "96", "--workers", "0"]
    command += ["--store", str(tmp_path / "store"), "--out", str(tmp_path / "page.html"), "--recipe", "batch_size=16"]
    for name, value in (("W2S_STRICT", "maybe"), ("W2S_PATIENCE", "x"), ("W2S_SHARDS", "3")):
        with monkeypatch.context() as patched:
            patched.setenv(name, value)
            assert main(command) == main([*command, "--dry-run"]) == 2
        told = capsys.readouterr().err.splitlines()
        assert len(told) == 2 and told[0] == told[1] and told[0].startswith("error: ") and name in told[0]
    assert not list(tmp_path.rglob("record.json"))


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (["epochs=1", "epochs=2"], "recipe='epochs=2': epochs stands there for the second time"),
        (["epochs"], "recipe='epochs': must be field=value"),
        (["epochs", "=", "3"], "recipe='epochs': must be field=value"),
        (["=3"], "recipe='=3': must be field=value"),
    ],
)
def test_a_recipe_on_the_command_line_is_fields_each_once(pairs, models, capsys, recipe, says):
    assert main([str(pairs), "--weak", models[0], "--strong", models[1], "--dry-run", "--recipe", *recipe]) == 2
    assert capsys.readouterr().err.startswith(f"error: {says}")


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    told = capsys.readouterr().out
    assert left.value.code == 0
    assert all(
        f"--{name.replace('_', '-')}" in told
        for name in (*COMMAND_OPTIONS, "out", "recipe", "store", "workers", "dry_run")
    )


def test_errors_have_their_kind(tmp_path, models):
    with pytest.raises(DataError):
        own(tmp_path / "nowhere.jsonl", *models)
    with pytest.raises(ParameterError):
        own(write(tmp_path / "p.jsonl", many(120, 1)), *models, alpha=-1)
