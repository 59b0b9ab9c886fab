"""Real pairs: prompts told from replies, unusable ones counted, splits that do not leak; on made files and HH-RLHF."""

import gzip
import json
import math
import random
import re
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from tests.conftest import REAL_PAIRS
from w2s_lib.data import preferences, reading, sources
from w2s_lib.data.cleaning import clean, cleaned, usable_pairs
from w2s_lib.data.load import TiesError, load_texts, mixed_in, splits
from w2s_lib.data.pairs import PairsError, check_disjoint, pair_id
from w2s_lib.data.preferences import agreement, prefer
from w2s_lib.data.reading import DataError
from w2s_lib.data.rows import ASSISTANT, HUMAN, prompt_and_replies
from w2s_lib.data.sources import DATA, read_pairs, source
from w2s_lib.digests import stamp
from w2s_lib.errors import ParameterError
from w2s_lib.specs import Conflict, Texts
from w2s_lib.study import Study
from w2s_lib.study.edition import load

ROOT = Path(__file__).resolve().parent.parent
FILES = [REAL_PAIRS / f"rucbm_harmless_{name}.jsonl" for name in ("train_gt", "train_w2s", "test")]
HELPFUL = REAL_PAIRS / "helpful_human_pairs.jsonl"
COLUMNS = "pair_id prompt chosen rejected objective split kind part cluster hazardous turned".split()

real = pytest.mark.skipif(
    not all(map(Path.is_file, FILES)), reason=f"no real pairs in {REAL_PAIRS}: the loader is tried on made ones only"
)


def exchange(question: str, reply: str) -> str:
    return f"\n\nHuman: {question}\n\nAssistant: {reply}"


def write(path: Path, rows: list) -> Path:
    """The rows in the form that the file's name says."""
    lines = "\n".join(map(json.dumps, rows)).encode()
    if path.name.endswith(".parquet"):
        pd.DataFrame(rows).to_parquet(path)
    else:
        path.write_bytes(gzip.compress(lines) if path.name.endswith(".gz") else lines)
    return path


def many(prompts: int, each: int = 1, name: str = "q") -> list[dict]:
    """Pairs of so many prompts; the better reply is the longer one in three of four, and has commas at random."""
    rng, rows = random.Random(name), []
    for i in range(prompts):
        for j in range(each):
            longer, shorter = f"yes {i} {j} " + "indeed" * rng.randint(2, 5), f"no {i} {j}" + "," * rng.randint(0, 2)
            pair = (longer, shorter) if (i + j) % 4 else (shorter, longer)
            rows.append({"chosen": exchange(f"{name} {i}", pair[0]), "rejected": exchange(f"{name} {i}", pair[1])})
    return rows


def made(folder: Path, rows: list[dict], name: str = "pairs.jsonl"):
    return source(write(folder / name, rows))


# What a prompt is


@pytest.mark.parametrize(
    ("history", "chosen", "rejected"),
    [
        ("\n\nHuman: a\n\nAssistant:", " x", " y"),
        ("\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:", " x", " x y"),
        ("\n\nHuman: a\n\nAssistant:", " same start, x", " same start, y"),
        ("\n\nHuman: a\n\nAssistant:", " b\n\nHuman: c\n\nAssistant: x", " b\n\nHuman: d\n\nAssistant: x"),
        ("\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:", "no space", ""),
        ("\n\nHuman: a\n\nAssistant:", " x", " x\n\nHuman: b\n\nAssistant: y"),  # one goes on
        ("", "\n\nHuman: a\n\nAssistant: x", "\n\nHuman: b\n\nAssistant: x"),
        ("", "no marks", "none"),
    ],
)
def test_the_prompt_is_what_both_share_up_to_the_last_assistant(history, chosen, rejected):
    assert prompt_and_replies(history + chosen, history + rejected) == (history, chosen, rejected)


def naive(chosen: str, rejected: str) -> str:
    """The longest common beginning that ends with the mark, character by character."""
    best = ""
    for end in range(min(len(chosen), len(rejected)) + 1):
        if chosen[:end] == rejected[:end] and chosen[:end].endswith(ASSISTANT):
            best = chosen[:end]
    return best


def test_prompts_are_those_of_the_naive_search():
    rng, parts = random.Random(0), ["\n\nHuman: a", "\n\nAssistant:", " b", "\n", "Assistant:"]
    for _ in range(300):
        one, other = ("".join(rng.choices(parts, k=6)) for _ in range(2))
        if one != other:
            assert prompt_and_replies(one, other)[0] == naive(one, other)


TURNS = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:"
MESSAGES = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b "}, {"role": "user", "content": "c"}]
X, Y = ({"role": "assistant", "content": text} for text in "xy")


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": [*MESSAGES, X], "rejected": [*MESSAGES, Y]},
        {"prompt": MESSAGES, "chosen": [X], "rejected": [Y]},
        {"prompt": MESSAGES, "chosen": "x", "rejected": "y"},
        {"prompt": "c", "chosen": [*MESSAGES, X], "rejected": [*MESSAGES, Y]},
        {"prompt": TURNS, "chosen": " x", "rejected": " y"},
        {"prompt": "c", "chosen": f"{TURNS} x", "rejected": f"{TURNS} y"},
    ],
)
@pytest.mark.parametrize("form", ["jsonl", "jsonl.gz", "parquet"])
def test_all_forms_of_a_pair_say_the_same(tmp_path, row, form):
    (pair,) = read_pairs(source(write(tmp_path / f"pairs.{form}", [row]))).itertuples(index=False)
    assert pair[:3] == (TURNS, " x", " y")


def test_a_bare_question_becomes_a_turn_and_the_safer_reply_is_chosen(tmp_path):
    rows = [{"prompt": "q", "response_0": "a", "response_1": "b", "safer_response_id": i} for i in (0, 1)]
    found = read_pairs(made(tmp_path, rows))
    assert found["prompt"].tolist() == ["\n\nHuman: q\n\nAssistant:"] * 2
    assert found[["chosen", "rejected"]].values.tolist() == [[" a", " b"], [" b", " a"]]
    assert reading.read_files((stamp(tmp_path / "pairs.jsonl"),)).unread == ()


def test_what_is_wrong_is_named_with_how_many_are_like_it(tmp_path):
    bad = [{"prompt": "q", "chosen": 3.5, "rejected": "b"}] * 3
    bad.append({"prompt": "q", "chosen": "a", "rejected": [{"role": "tool", "content": "x"}]})
    with pytest.raises(DataError) as error:
        made(tmp_path, [*many(2), *bad])
    assert str(error.value) == (
        "data='pairs.jsonl': line 3: chosen: a number stands where text or messages are needed; "
        "3 such rows in all; 1 wrong otherwise, from line 6 on"
    )


ASKED = {"chosen": "x", "rejected": "y", "prompt": "c"}
ODD_ROWS = {
    "prompt: a message has the role 'tool'; allowed: system, dev": {"prompt": [{"role": "tool", "content": "a"}]},
    "prompt: a message has 'tool_calls', which is no text": {"prompt": [MESSAGES[0], X | {"tool_calls": [{}]}]},
    "prompt: a message has the keys 'who', 'says'; 'role' and": {"prompt": [{"who": "user", "says": "a"}]},
    "rejected: null stands where the text of a message": {"rejected": [{"role": "assistant", "content": None}]},
    "chosen: a message has parts that are no text": {"chosen": [{"role": "assistant", "content": [{"type": "image"}]}]},
    "chosen: text stands where a message is needed": {"chosen": ["x"]},
    "messages: ends with a reply, and chosen is another": {"prompt": "", "messages": [*MESSAGES, X]},
    "system: a number stands where text or messages are needed": {"system": 5},
    "history: text stands where messages are needed": {"history": "b"},
}


@pytest.mark.parametrize("says", ODD_ROWS)
def test_what_is_ambiguous_is_refused_by_its_column(tmp_path, says):
    with pytest.raises(DataError, match=f"line 1: {says}"):
        made(tmp_path, [ASKED | ODD_ROWS[says]])


PARTS = [message | {"content": [{"type": "text", "text": message["content"]}]} for message in MESSAGES]
SHARE = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}, {"from": "human", "value": "c"}]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": MESSAGES, "chosen": [X], "rejected": [Y]},
        {"messages": MESSAGES, "chosen": "x", "rejected": "y"},
        {"messages": MESSAGES, "chosen": [*MESSAGES, X], "rejected": [*MESSAGES, Y]},
        {"conversations": SHARE, "chosen": {"from": "gpt", "value": "x"}, "rejected": {"from": "gpt", "value": "y"}},
        {"prompt": PARTS, "chosen": X, "rejected": Y},
        {"prompt": "c", "history": [["a", "b"]], "chosen": "x", "rejected": "y"},
        {"prompt": "c", "history": MESSAGES[:2], "chosen": "x", "rejected": "y"},
        {"prompt": TURNS, "history": MESSAGES[:2], "system": "", "chosen": " x", "rejected": " y"},
    ],
)
@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.parquet"])
def test_all_kinds_of_chats_say_the_same(tmp_path, row, name):
    (pair,) = read_pairs(made(tmp_path, [row], name)).itertuples(index=False)
    assert pair[:3] == (TURNS, " x", " y")


def of_numpy(messages: object) -> str:
    """How pandas writes lists of a Parquet file into CSV."""
    return str(np.array(messages, dtype=object)) if isinstance(messages, list) else str(messages)


@pytest.mark.parametrize(
    "written",
    [json.dumps, repr, of_numpy, partial(json.dumps, indent=2), lambda messages: json.dumps(json.dumps(messages))],
)
def test_messages_as_text_say_what_the_list_would(tmp_path, written):
    it_s = [{"role": "user", "content": """it's "a"\n} {'é\\'"""}, {"from": "human", "value": "[{'c': 1}]"}]
    rows = [
        {"chosen": [*MESSAGES, X], "rejected": [*MESSAGES, Y]},
        {"prompt": "c", "chosen": [*SHARE, X], "rejected": [*SHARE, Y]},
        {"prompt": MESSAGES, "chosen": "x", "rejected": "[y]"},
        {"conversations": SHARE, "chosen": X, "rejected": {"from": "gpt", "value": "y"}},
        {"messages": MESSAGES, "chosen": PARTS[1:2], "rejected": [Y]},
        {"prompt": "c", "history": it_s, "system": [{"role": "system", "content": "s"}], "chosen": "x", "rejected": ""},
        {"prompt": MESSAGES[2:], "response_0": [X], "response_1": [Y], "safer_response_id": 1},
        {"chosen": [{"id": 1, **MESSAGES[0]}, X], "rejected": [{"id": 1, **MESSAGES[0]}, Y]},
    ]
    packed = [
        {name: written(is_) if isinstance(is_, (list, dict)) else is_ for name, is_ in row.items()} for row in rows
    ]
    lists, texts = (read_pairs(made(tmp_path, each))[["prompt", "chosen", "rejected"]] for each in (rows, packed))
    assert texts.equals(lists)


@pytest.mark.parametrize("turns", [[], [["q", "a"]]])
def test_history_as_text_is_what_the_list_would_be(tmp_path, turns):
    row = {"prompt": "c", "chosen": "x", "rejected": "y"}
    lists, texts = (read_pairs(made(tmp_path, [row | {"history": said}])) for said in (turns, json.dumps(turns)))
    assert texts[["prompt", "chosen", "rejected"]].equals(lists[["prompt", "chosen", "rejected"]])


PROSE = [
    "[sic] it was", "[1, 2]", "{", "[{", '[{"a": 1}]', "[{'role'", "[{role: user}]", '{"content": "an answer in JSON"}',
    '[{"from": "2020", "value": "3"}, {"from": "2021", "value": "4"}]', '[{"role": "admin", "content": "all"}]',
    '"role": "user" is a field', '[{"role": "user", "content": "Hi"}] is what the server wants.', '"role": "user"',
    "array([{'role': 'user', 'content': x}])",
]  # fmt: skip


@pytest.mark.parametrize("prose", PROSE)
def test_prose_that_begins_as_messages_do_stays_prose(tmp_path, prose):
    rows = [
        {"prompt": prose, "chosen": "x", "rejected": prose},
        {"prompt": "q", "chosen": prose, "rejected": f"{prose} "},
    ]
    found = read_pairs(made(tmp_path, rows))
    assert found["prompt"].tolist() == [f"\n\nHuman: {said}\n\nAssistant:" for said in (prose.strip(), "q")]
    assert found["rejected"].tolist() == [f" {prose}"] * 2 and found["chosen"].tolist() == [" x", f" {prose}"]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"chosen": json.dumps([X])[:-9], "rejected": "y"}, "chosen: begins as messages do, and is cut or no JSON"),
        ({"prompt": "[{'role': 'user', 'content': 'it's'}]"}, "prompt: begins as messages do, and is cut or no JSON"),
        ({"chosen": repr(np.array([X, Y], dtype=object))}, "chosen: begins as messages do, and is cut or no JSON"),
        ({"rejected": json.dumps(Y)}, "rejected: is messages as text, and chosen is not; write both in one way"),
        (
            {"prompt": json.dumps([MESSAGES[0], {"role": "tool", "content": "1"}])},
            "prompt: a message has the role 'tool'",
        ),
        ({"prompt": '{"role": "user", "content": "a", "content": "b"}'}, "prompt: a message has the key 'content' 2"),
    ],
)
def test_messages_as_text_that_are_ambiguous_are_refused_by_row_and_column(tmp_path, row, says):
    with pytest.raises(DataError, match=f"line 2: {re.escape(says)}"):
        made(tmp_path, [ASKED, ASKED | row])


@pytest.mark.parametrize("system", [{"system": "s"}, {"prompt": [{"role": "developer", "content": "s"}, MESSAGES[2]]}])
def test_what_a_system_is_told_stands_first(tmp_path, system):
    (prompt,) = read_pairs(made(tmp_path, [ASKED | system]))["prompt"]
    assert prompt == "\n\nSystem: s\n\nHuman: c\n\nAssistant:"


def test_json_is_read_however_it_is_written(tmp_path):
    rows, lines = many(5), "\n".join(map(json.dumps, many(5)))
    forms = {
        "array.json": json.dumps(rows),
        "array.jsonl": json.dumps(rows, indent=2),
        "pretty.jsonl": "\n".join(json.dumps(row, indent=2) for row in rows),
        "WINDOWS.JSONL": lines.replace("\n", "\r\n"),
        "joined.ndjson": lines.replace("\n", "\n\ufeff"),
        "rows.json.gz": lines,
    }
    encodings = ("utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32")
    expected = made(tmp_path, rows).revision
    for encoding in encodings:
        for name, text in forms.items():
            content = text.encode(encoding)
            (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
            found = source(tmp_path / name)
            assert found.revision == expected, (name, encoding)
        said = sources.notes_on_reading(tmp_path / name, found)
        assert said == ([] if "utf-8" in encoding else [f"{name!r} is read as {encoding.upper()}."])


def test_what_is_not_read_is_named(tmp_path):
    rows = [row | {"score": 0, "id": None, "note": "n"} for row in many(3)]
    for name in ("a.jsonl", "sub/B.JSONL", "._a.jsonl", "README.md", ".git/x.jsonl", "dataset_infos.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, [row | {"chosen": row["chosen"] + name} for row in rows])
    found = source(tmp_path)
    assert len(read_pairs(found)) == 6
    files, columns = sources.notes_on_reading(tmp_path, found)
    assert files == "Files that are not read: '._a.jsonl', '.git/x.jsonl', 'README.md', 'dataset_infos.json'."
    assert columns == "Columns that are not read: 'note', 'score'."


def test_subfolders_that_are_links_are_read_and_lead_nowhere_twice(tmp_path):
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    (data / "own").mkdir(parents=True)
    (elsewhere / "deep").mkdir(parents=True)
    first, other = many(3), many(4, name="r")
    write(data / "own" / "a.jsonl", first)
    for link, target in (("linked", elsewhere), ("own/up", data), ("gone", tmp_path / "nowhere")):
        (data / link).symlink_to(target)
    (elsewhere / "deep" / "back").symlink_to(elsewhere)
    write(elsewhere / "deep" / "b.jsonl", other)
    found = source(data)
    assert [Path(file).relative_to(data).as_posix() for file in found.files] == ["linked/deep/b.jsonl", "own/a.jsonl"]
    assert len(read_pairs(found)) == 7 and found.revision == made(tmp_path, first + other).revision
    assert sources.notes_on_reading(data, found) == ["Files that are not read: 'gone'."]


def test_a_subfolder_that_nobody_may_open_is_named(tmp_path, monkeypatch):
    """Whoever runs the tests may be allowed to open every folder."""
    closed, listed = tmp_path / "closed", Path.iterdir
    closed.mkdir()

    def denied(folder):
        if folder == closed:
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", denied)
    made(tmp_path, many(3))
    assert sources.notes_on_reading(tmp_path, source(tmp_path)) == ["Files that are not read: 'closed'."]


def test_messages_name_the_file_that_was_given(tmp_path):
    with pytest.raises(DataError, match="data='bare.jsonl': no pair .*Assistant.*that are not read: 'question'"):
        usable_pairs(made(tmp_path, [{"question": "q", "chosen": "a", "rejected": "b"}], "bare.jsonl"))
    with pytest.raises(DataError, match="data='nothing.jsonl': no pair can be used: the files hold none"):
        usable_pairs(made(tmp_path, [], "nothing.jsonl"))
    with pytest.raises(DataError, match="no such file 'pairs'"):
        source(str(tmp_path / "pairs"))


def test_space_at_the_end_of_a_reply_takes_no_longer(tmp_path):
    rows = many(2)
    rows[0]["chosen"] += " " * 300_000
    start = time.perf_counter()
    cleaned(made(tmp_path, rows), 64)
    assert time.perf_counter() - start < 2


# What names a data set


def test_the_revision_is_what_the_files_say(tmp_path):
    rows = many(9)
    one, folder = made(tmp_path, rows), tmp_path / "elsewhere"
    folder.mkdir()
    other = source([write(folder / "0.jsonl", rows[5:][::-1]), write(folder / "1.jsonl", rows[:5])])
    assert one.key == other.key == source(folder).key == made(tmp_path, rows, "rows.parquet").key
    assert usable_pairs(one).equals(usable_pairs(other))
    rows[0]["chosen"] += "!"
    assert made(tmp_path, rows, "changed.jsonl").revision != one.revision


def test_files_that_change_behind_a_source_are_noticed(tmp_path):
    before = made(tmp_path, many(9))
    made(tmp_path, many(10))
    with pytest.raises(DataError, match="say something else"):
        read_pairs(before)
    (tmp_path / "pairs.jsonl").unlink()
    with pytest.raises(DataError, match="no such file 'pairs.jsonl'"):
        read_pairs(before)


GOOD = json.dumps(many(1)[0]).encode()
BAD_FILES = {
    "missing.jsonl": (None, "no such file 'missing.jsonl'"),
    "pairs.csv": (GOOD, "'pairs.csv'; allowed: .jsonl"),
    "broken.jsonl": (GOOD + b"\n\n{broken\n" + GOOD, "line 3: is not JSON"),
    "doubled.jsonl": (
        GOOD + b'\n{"chosen": "a", "rejected": "b", "chosen": "c"}',
        "line 2: has the key 'chosen' 2 times",
    ),
    "doubled.json": (
        b"[" + GOOD + b', {"prompt": "a", "prompt": "b", "prompt": "c"}]',
        "item 2: has the key 'prompt' 3",
    ),
    "doubled_role.jsonl": (
        b'{"chosen": [{"role": "user", "role": "system", "content": "a"}], "rejected": "b"}',
        "line 1: chosen: a message has the key 'role' 2 times",
    ),
    "broken.json": (b"[" + GOOD + b",\n{broken]", r"line 1: is not JSON \(Expecting property name"),
    "list.jsonl": (b"[1]", "item 1: a number stands where an object with columns is needed"),
    "columns.jsonl": (GOOD + b'\n{"chosen": "a"}', "line 2: lacks columns chosen and rejected .* it has 'chosen'"),
    "columns.parquet": (pd.DataFrame({"text": ["a"]}).to_parquet(), "row 1: lacks columns .* it has 'text'"),
    "columns.json": (
        json.dumps({"chosen": ["a", "b"], "rejected": ["c", "d"]}).encode(),
        "line 1: chosen: text stands where a message is needed; the file is one object; pairs are an object each",
    ),
    "pandas.json": (
        pd.DataFrame({"chosen": ["a"], "rejected": ["b"]}).to_json().encode(),
        "has the keys .* one object",
    ),
    "below.json": (json.dumps({"data": many(3)}).encode(), "it has 'data'; the file is one object"),
    "number.jsonl": (b'{"chosen": 5, "rejected": "b"}', "line 1: chosen: a number stands where text or messages are"),
    "safer.jsonl": (
        b'{"prompt": "q", "response_0": "a", "response_1": "b", "safer_response_id": 2}',
        "line 1: safer_response_id must be 0 or 1",
    ),
    "surrogate.jsonl": (b'{"chosen": "\\ud800", "rejected": "b"}', r"line 1: '\\ud800' is half of a character"),
    "latin.jsonl": (GOOD + b'\n{"chosen": "\xe9"}', "line 2 is not UTF-8 .byte 0xe9.*save the file as UTF-8"),
    "twice.jsonl.gz": (gzip.compress(gzip.compress(GOOD)), "cannot be read: it is packed twice by gzip"),
    "cut.jsonl.gz": (gzip.compress(GOOD * 50)[:-20], "cannot be read"),
    "cut.parquet": (pd.DataFrame({"chosen": ["a"], "rejected": ["b"]}).to_parquet()[:-9], "cannot be read: "),
    "doubled.parquet": (
        pd.DataFrame([["a", "b", "c"]], columns=["chosen", "rejected", "chosen"]),
        "cannot be read: has the column 'chosen' 2 times",
    ),
    "pointer.parquet": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "a pointer of Git LFS, .*git lfs pull",
    ),
    "deep.jsonl": (b"[" * 100_000, "cannot be read: maximum recursion"),
}


@pytest.mark.parametrize("name", ["empty", *BAD_FILES])
def test_bad_files_are_refused_in_one_line(tmp_path, name):
    content, says = BAD_FILES.get(name, (None, "no files in 'empty'; allowed: .jsonl, .json, "))
    (tmp_path / "empty").mkdir()
    if isinstance(content, pd.DataFrame):
        pq.write_table(pa.Table.from_arrays([*map(pa.array, content.values.T)], [*content]), tmp_path / name)
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says) as error:
        source(tmp_path / name)
    assert "\n" not in str(error.value) and str(error.value).startswith("data=")


def test_a_folder_as_datasets_saves_it_says_how_to_write_it_otherwise(tmp_path):
    Dataset.from_list(many(3)).save_to_disk(tmp_path / "saved")
    with pytest.raises(DataError, match=r"'saved' holds 'data-00000-of-00001.arrow', as save_to_disk .* by to_parquet"):
        source(tmp_path / "saved")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("hh-harmles", "did you mean 'hh-harmless'"),
        ("nothing like it", "allowed: world, hh-harmless"),
        ("x" * 5000, "no such data set or file"),
        (7, "must be a name"),
        ([], "must be a name"),
        ("", "must be a name"),
    ],
)
def test_bad_names_are_refused_in_one_line(value, says):
    with pytest.raises(DataError, match=says) as error:
        source(value)
    assert "\n" not in str(error.value)


# The hub


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """The hub's client without a hub, and an empty cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    sources._commit.cache_clear()
    yield tmp_path / "hub"
    sources._commit.cache_clear()


def keep(cache: Path, hub: str, commit: str, files: dict[str, list[dict]]) -> None:
    """What the hub's client would have left in its cache after a download."""
    folder = cache / f"datasets--{hub.replace('/', '--')}"
    for name, rows in files.items():
        path = folder / "snapshots" / commit / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, rows)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(commit, encoding="utf-8")


@pytest.mark.parametrize("name", [name for name, entry in DATA.items() if entry.hub])
def test_without_a_hub_one_line_names_the_edition_that_needs_none(offline, name):
    with pytest.raises(DataError, match="the edition 'world' needs no hub") as error:
        read_pairs(source(name))
    assert "\n" not in str(error.value) and repr(name) in str(error.value)


def test_a_data_set_that_no_hub_has_needs_its_files(tmp_path, monkeypatch):
    monkeypatch.delenv("W2S_DATA", raising=False)
    named = source("hh-harmless-12k")
    assert not sources.can_be_read(named) and len(named.revision) == 16
    with pytest.raises(DataError, match="W2S_DATA must name the folder"):
        read_pairs(named)
    monkeypatch.setenv("W2S_DATA", str(tmp_path))
    made(tmp_path, many(5), "helpful_test.jsonl")
    assert not sources.can_be_read(source("hh-harmless-12k"))
    made(tmp_path, many(5), "harmless_test.jsonl")
    with pytest.raises(DataError, match="say something else"):
        read_pairs(source("hh-harmless-12k"))


def test_an_unpinned_revision_needs_the_hub_or_its_cache(offline):
    with pytest.raises(DataError, match="the edition 'world' needs no hub"):
        source("someone/pairs")
    commit, files = "0123456789" * 4, {"a/train.jsonl": many(2), "b/train.parquet": many(3, name="r"), "README.md": []}
    keep(offline, "someone/pairs", commit, files)
    assert source("someone/pairs").revision == commit
    assert len(read_pairs(source("someone/pairs"))) == 5
    assert len(read_pairs(source("someone/pairs/b"))) == 3
    with pytest.raises(DataError, match=r"has no files c\*\.jsonl"):
        read_pairs(source("someone/pairs/c"))


def test_registered_pairs_are_read_from_the_cache(offline):
    turns = {"chosen": exchange("a", "b") + exchange("c", "d"), "rejected": exchange("a", "b") + exchange("c", "e")}
    runs_on = {"chosen": exchange("e", "f"), "rejected": exchange("e", "g") + exchange("h", "i")}
    hh = {f"harmless-base/{n}.jsonl.gz": [*many(4, name=n), turns] for n in ("train", "test")}
    hh["harmless-base/test.jsonl.gz"].append(runs_on)
    hh["helpful-base/test.jsonl.gz"] = many(1)
    keep(offline, DATA["hh-harmless"].hub, DATA["hh-harmless"].revision, hh)
    found = cleaned(source("hh-harmless"))
    assert len(found.frame) == 9 and found.dropped["more than one turn"] == 2
    chats = [{"prompt": "q", "chosen": [MESSAGES[0], X], "rejected": [MESSAGES[0], Y], "messages": [X]}]
    cai = {"data/train_prefs-0.parquet": chats, "data/train_sft-0.parquet": [{"messages": [X]}]}
    keep(offline, DATA["cai-harmless"].hub, DATA["cai-harmless"].revision, cai)
    assert read_pairs(source("cai-harmless"))["prompt"].tolist() == ["\n\nHuman: a\n\nAssistant:"]
    safer = [{"prompt": "q", "response_0": "a", "response_1": "b", "better_response_id": 0, "safer_response_id": 1}]
    keep(offline, DATA["pku-saferlhf"].hub, DATA["pku-saferlhf"].revision, {"data/Alpaca-7B/test.jsonl": safer})
    assert read_pairs(source("pku-saferlhf"))["chosen"].tolist() == [" b"]


def test_the_data_card_says_what_the_registry_says():
    card = (ROOT / "book" / "data-card.md").read_text(encoding="utf-8")
    for name, entry in DATA.items():
        for fact in (f"`{name}`", entry.hub, entry.licence, entry.revision):
            assert fact is None or fact in card, (name, fact)


# What can be used


def test_every_reason_to_drop_a_pair_is_counted(tmp_path):
    a, b = (exchange("q", text) for text in ("long enough an answer", "another answer"))
    rows = [
        {"chosen": a, "rejected": b},
        {"chosen": a, "rejected": b},  # repeated
        {"chosen": b, "rejected": a.replace("long", "short")},
        {"chosen": a, "rejected": exchange("q", " ")},  # empty
        {"chosen": None, "rejected": b},  # empty
        {"chosen": a, "rejected": exchange("another", "x")},  # no shared prompt
        {"chosen": a, "rejected": a + " "},  # identical
        {"chosen": exchange("r", "1"), "rejected": exchange("r", "2")},
        {"chosen": exchange("r", "2"), "rejected": exchange("r", "1")},  # both ways, with the one before
        {"chosen": exchange("s", "1 2 3 4 5 6"), "rejected": exchange("s", "1 2 3 4 5 7")},  # identical for 8 words
    ]
    more = [rows[0], {"chosen": exchange("q", "u"), "rejected": exchange("q", "v")}]
    found = clean(
        read_pairs(source([write(tmp_path / "1.jsonl", rows), write(tmp_path / "2.jsonl", more)])), max_tokens=8
    )
    assert found.dropped == {
        "empty reply": 2, "no shared prompt": 1, "identical replies": 1, "labelled both ways": 2, "repeated": 1,
        "repeated in another file": 1, "identical for 8 words": 1,
    }  # fmt: skip
    report = found.report.set_index("what")["number"]
    assert len(found.frame) == report["pairs kept"] == 3 and report["pairs read"] == 12
    assert report["their prompts"] == report["prompts with several pairs"] == report["prompts in several files"] == 1


def test_where_nothing_can_be_used_the_reasons_are_said(tmp_path):
    with pytest.raises(DataError, match="no pair can be used: no shared prompt 3"):
        usable_pairs(made(tmp_path, [{"chosen": f"a {i}", "rejected": f"b {i}"} for i in range(3)]))
    with pytest.raises(DataError, match="no pair can be used"):
        usable_pairs(made(tmp_path, [], "none.jsonl"))


def test_ids_are_stable(tmp_path):
    (row,) = usable_pairs(made(tmp_path, [{"chosen": exchange("p", "a"), "rejected": exchange("p", "b")}])).itertuples()
    assert row.pair_id == pair_id("\n\nHuman: p\n\nAssistant:", " b", " a") == "3714068fa6c4"


# Splits


def test_splits_are_disjoint_and_belong_to_the_seed(tmp_path):
    frame = usable_pairs(made(tmp_path, many(80, each=3)))
    one, other = (splits(frame, seed, 60, 45) for seed in (1, 2))
    again = splits(frame.sample(frac=1, random_state=0), 1, 60, 45)
    assert one["split"].value_counts().to_dict() == {"ground_truth": 60, "weak_label": 60, "test": 45}
    assert one["split"].drop_duplicates().tolist() == ["ground_truth", "weak_label", "test"]
    assert one["pair_id"].is_unique and (one.groupby("prompt")["split"].nunique() == 1).all()
    assert one.equals(again) and not one["pair_id"].isin(other["pair_id"]).all()
    test = lambda f: f.loc[f["split"] == "test", "pair_id"].tolist()
    assert test(splits(frame, 1, 20, 45)) == test(one)
    last = one["prompt"].iloc[-1]
    fewer = splits(frame[frame["prompt"] != last], 1, 60, 40)
    assert test(fewer) == test(one[one["prompt"] != last])[:40]


def test_every_prompt_is_as_likely_to_be_tested(tmp_path):
    frame = usable_pairs(made(tmp_path, many(40)))
    drawn = pd.concat([splits(frame, seed, 10, 20) for seed in range(80)])
    tested = drawn.loc[drawn["split"] == "test", "prompt"].value_counts()
    assert len(tested) == 40 and abs(tested - 40).max() < 5 * math.sqrt(20)


def test_too_few_pairs_are_refused(tmp_path):
    frame = usable_pairs(made(tmp_path, many(30)))
    assert len(splits(frame, 0, 10, 10)) == 30
    with pytest.raises(PairsError, match="train_pairs=11, test_pairs=10: too few pairs; 30 of 30 prompts can be used"):
        splits(frame, 0, 11, 10)


# Preferences


def test_a_surface_preference_turns_pairs_and_drops_ties():
    frame = pd.DataFrame({"chosen": [" a, b", " long one", "same"], "rejected": [" a b", " short", "four"]})
    longer = prefer(frame, "verbosity")
    assert longer.values.tolist() == [[" a, b", " a b", False], [" long one", " short", False]]
    assert prefer(frame[::-1], "commas").values.tolist() == [[" a, b", " a b", False]]
    turned = prefer(frame.rename(columns={"chosen": "rejected", "rejected": "chosen"}), "verbosity")
    assert turned["chosen"].tolist() == longer["chosen"].tolist() and turned["turned"].all()
    assert prefer(frame, "harmlessness").equals(frame.assign(turned=False))


def test_agreement_is_a_share_with_wilsons_interval():
    rows = [("aa", "a")] * 30 + [("a", "aa")] * 10 + [("b", "c")] * 5
    frame = pd.DataFrame(rows, columns=["chosen", "rejected"])
    found, z, n, p = agreement(frame, "verbosity"), 1.959964, 40, 0.75
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    assert found[:1] + found[3:] == (0.75, 40, 5)
    assert found[1:3] == pytest.approx((middle - half, middle + half), abs=1e-6)
    assert math.isnan(agreement(frame[-5:], "verbosity").value)


# A study's pairs


def test_a_study_gets_disjoint_splits_of_usable_pairs(tmp_path):
    texts = Texts(source=made(tmp_path, many(90)), seed=3, train_pairs=30, test_pairs=20)
    frame = check_disjoint(load_texts(texts))
    assert list(frame.columns) == COLUMNS and frame["pair_id"].is_unique
    assert frame["split"].value_counts().to_dict() == {"ground_truth": 30, "weak_label": 30, "test": 20}
    assert set(frame["objective"]) == {"harmlessness"} and set(frame["kind"]) == {"local"}
    assert frame["hazardous"].isna().all()
    assert not frame["turned"].any() and frame["cluster"].nunique() == frame["prompt"].nunique()
    assert load_texts(texts) is frame and load_texts(texts, "harmlessness").equals(frame)


@pytest.mark.parametrize("objective", list(preferences.SURFACE))
def test_mixed_in_pairs_are_never_the_students_own(tmp_path, objective):
    texts = Texts(source=made(tmp_path, many(90)), seed=3, train_pairs=30, test_pairs=20)
    own, mixed = (
        load_texts(texts).set_index("pair_id"),
        check_disjoint(load_texts(texts, objective)).set_index("pair_id"),
    )
    assert mixed["split"].drop_duplicates().tolist() == ["ground_truth", "weak_label", "test"]
    other = {"ground_truth": "weak_label", "weak_label": "ground_truth", "test": "test"}
    assert (own.loc[mixed.index, "split"].map(other) == mixed["split"]).all()
    measure = preferences.SURFACE[objective]
    assert (mixed["chosen"].map(measure) > mixed["rejected"].map(measure)).all()
    assert (mixed["turned"] == (own.loc[mixed.index, "chosen"] != mixed["chosen"])).all()
    assert mixed["turned"].nunique() == 2
    ties = own["chosen"].map(measure) == own["rejected"].map(measure)
    assert len(mixed) == len(own) - ties.sum()


def test_what_tells_too_few_pairs_apart_is_not_mixed_in(tmp_path):
    rows = [{"prompt": f"{i} + 1", "chosen": f"{i + 1:02d}", "rejected": f"{i + 2:02d}"} for i in range(80)]
    texts = Texts(source=made(tmp_path, rows), train_pairs=30, test_pairs=20)
    for objective in ("verbosity", "vowels"):
        with pytest.raises(TiesError, match=f"data='pairs.jsonl': objective='{objective}': tells 0 of 30 pairs apart"):
            load_texts(texts, objective)
    assert load_texts(texts, "parity")["split"].value_counts()["weak_label"] >= 27


def test_a_surface_preference_can_be_the_target(tmp_path):
    texts = Texts(source=made(tmp_path, many(90)), objective="verbosity", train_pairs=30, test_pairs=20)
    labelled = load_texts(texts.model_copy(update={"objective": "harmlessness"})).set_index("pair_id")
    assert (labelled.loc[load_texts(texts)["pair_id"], "split"].to_numpy() == load_texts(texts)["split"]).all()


def test_helpful_pairs_come_from_a_data_set_of_their_own(tmp_path):
    harmless, helpful = made(tmp_path, many(90)), made(tmp_path, many(70, name="h") + many(5), "helpful.jsonl")
    texts = Texts(source=harmless, helpful=helpful, train_pairs=30, test_pairs=20)
    frame = load_texts(texts, "helpfulness")
    assert frame["split"].value_counts().to_dict() == {"ground_truth": 30, "weak_label": 30}
    assert not frame["prompt"].isin(load_texts(texts)["prompt"]).any() and set(frame["objective"]) == {"helpfulness"}


def test_helpful_pairs_of_one_part_are_mixed_in_alone(tmp_path):
    """A row may name its source; who does not name one is of the data set."""
    rows = [row | ({"source": "a"} if i % 3 else {}) for i, row in enumerate(many(24, name="h"))]
    texts = Texts(
        source=made(tmp_path, many(90)), helpful=made(tmp_path, rows, "helpful.jsonl"), train_pairs=30, test_pairs=20
    )
    helpful = load_texts(texts, "helpfulness")
    assert helpful["part"].value_counts().to_dict() == {"a": 16, "": 8} and set(helpful["kind"]) == {"local"}
    of = lambda share: Conflict(kind="mixed", objective="helpfulness", share=share, part="a")
    found = mixed_in(texts, "weak_label", of(0.5), 30)
    assert len(found) == 15 and set(found["part"]) == {"a"}
    with pytest.raises(PairsError, match="18 helpfulness pairs of 'a' are asked for, and there are 16"):
        mixed_in(texts, "weak_label", of(0.6), 30)
    with pytest.raises(ValueError, match="part belongs to helpfulness pairs"):
        Conflict(kind="mixed", objective="verbosity", part="a")


def test_a_source_that_is_no_text_names_no_part(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = (
        json.dumps({"prompt": "q", "chosen": f"a{i}", "rejected": "b", "source": s}) for i, s in enumerate("\ud800x")
    )
    path.write_text(
        "\n".join([*rows, json.dumps({"prompt": "q", "chosen": "c", "rejected": "d", "source": 3})]), encoding="utf-8"
    )
    assert reading.read_files((sources.stamp(path),)).frame["part"].tolist() == ["?", "x", ""]


def test_a_part_is_asked_of_helpful_pairs_alone():
    for edition in ("world", "hh-smol"):
        with pytest.raises(ParameterError, match="condition='implicit_pandalm': mixes in helpful pairs of 'pandalm'"):
            Study(load(edition)).conflict("implicit_pandalm")


def test_too_few_helpful_pairs_for_two_halves_are_all_for_the_students(tmp_path):
    harmless, helpful = made(tmp_path, many(90)), made(tmp_path, many(22, each=2, name="h"), "helpful.jsonl")
    texts = Texts(source=harmless, helpful=helpful, train_pairs=30, test_pairs=20)
    assert set(load_texts(texts, "helpfulness")["split"]) == {"weak_label"}
    mixed = lambda share, of=texts: mixed_in(
        of, "weak_label", Conflict(kind="mixed", objective="helpfulness", share=share), 30
    )
    all_of_them, half = mixed(1.0), mixed(0.5)
    assert (len(all_of_them), len(half)) == (30, 15) and half.equals(all_of_them[:15])
    fewer = texts.model_copy(update={"helpful": made(tmp_path, many(10, each=2, name="h"), "fewer.jsonl")})
    assert len(mixed(2 / 3, fewer)) == 20
    with pytest.raises(
        PairsError, match="helpful_share=1: 30 helpfulness pairs are asked for, and there are 20; .*0.66"
    ):
        mixed(1.0, fewer)


def test_what_the_pairs_say_nothing_of_is_refused(tmp_path):
    texts = Texts(source=made(tmp_path, many(90)), train_pairs=30, test_pairs=20)
    allowed = "harmlessness, verbosity, commas, parity, vowels"
    with pytest.raises(DataError, match=f"objective='helpfulness': .*name helpful pairs; allowed: {allowed}$"):
        load_texts(texts, "helpfulness")
    with pytest.raises(DataError, match="objective='politeness': these pairs say nothing of it; allowed"):
        load_texts(texts, "politeness")


def test_pairs_identical_for_as_many_words_as_are_read_are_not_used(tmp_path):
    words = "1 2 3 4 5 6 7 8 9"
    replies = ((exchange(f"a {i}", f"{words} x"), exchange(f"a {i}", f"{words} y")) for i in range(20))
    alike = [{"chosen": chosen, "rejected": rejected} for chosen, rejected in replies]
    texts = Texts(source=made(tmp_path, many(40) + alike), train_pairs=10, test_pairs=20, max_tokens=8)
    assert not load_texts(texts)["prompt"].str.contains("Human: a").any()
    assert len(usable_pairs(texts.source)) == 60 and len(usable_pairs(texts.source, 8)) == 40


# The real pairs


@pytest.fixture(scope="module")
def hh():
    return source(FILES)


@real
def test_the_papers_own_pairs_are_known_by_what_they_say(hh, monkeypatch):
    monkeypatch.setenv("W2S_DATA", str(REAL_PAIRS))
    named = source("hh-harmless-12k")
    assert named.revision == hh.revision and sources.can_be_read(named) and usable_pairs(named).equals(usable_pairs(hh))


@pytest.mark.skipif(not HELPFUL.is_file(), reason=f"no {HELPFUL.name} in {REAL_PAIRS}")
def test_people_s_helpful_pairs_are_known_and_say_nothing_of_length(monkeypatch):
    monkeypatch.setenv("W2S_DATA", str(REAL_PAIRS))
    named = source("helpful-by-people")
    assert named.revision == sources.revision((sources.stamp(named.files[0]),))
    frame = usable_pairs(named, 512)
    found = agreement(frame, "verbosity")
    assert (len(frame), frame["prompt"].nunique()) == (1178, 570) and found.low < 0.5 < found.high  # the data card


@real
def test_real_pairs_are_put_together_again_exactly(hh):
    rows = [json.loads(line) for file in FILES for line in file.read_text(encoding="utf-8").splitlines()]
    found = read_pairs(hh)
    for column in ("chosen", "rejected"):
        assert (found["prompt"] + found[column]).tolist() == [row[column] for row in rows]
    assert [naive(row["chosen"], row["rejected"]) for row in rows[::40]] == found["prompt"].tolist()[::40]


@real
def test_real_pairs_are_counted(hh):
    found = cleaned(hh)
    assert len(read_pairs(hh)) == 12_000 == len(found.frame) + sum(found.dropped.values())
    usable, card = found.frame, (ROOT / "book" / "data-card.md").read_text(encoding="utf-8")
    for what, number in found.report.itertuples(index=False):
        assert f"| {what} | {number:,} |" in card or not number, what
    assert (usable["prompt"].str.count(HUMAN) == 1).all()
    assert usable["prompt"].str.endswith(ASSISTANT).all()
    assert (usable["chosen"].str.strip() != usable["rejected"].str.strip()).all()
    assert not usable.duplicated(["prompt", "chosen", "rejected"]).any()
    assert (
        hh.key == source(FILES[::-1]).key and clean(read_pairs(hh), single_turn=True).dropped["more than one turn"] == 0
    )


@real
@pytest.mark.parametrize("seed", [0, 1])
def test_real_splits_do_not_leak(hh, seed):
    texts = Texts(source=hh, seed=seed, train_pairs=3900, test_pairs=3900)
    frames = [check_disjoint(load_texts(texts, objective)) for objective in ("harmlessness", *preferences.SURFACE)]
    sizes = frames[0]["split"].value_counts().to_dict()
    assert sizes == {"ground_truth": 3900, "weak_label": 3900, "test": 3900}
    student = frames[0].loc[frames[0]["split"] == "weak_label", "prompt"]
    tested = frames[0].loc[frames[0]["split"] == "test", "prompt"]
    for mixed in frames[1:]:
        extra = mixed.loc[mixed["split"] == "weak_label", "prompt"]
        assert not extra.isin(student).any() and not extra.isin(tested).any()


@real
def test_surface_preferences_on_real_pairs(hh):
    frame = usable_pairs(hh)
    for objective in preferences.SURFACE:
        found = agreement(frame, objective)
        assert 0 < found.low < found.value < found.high < 1 and found.high - found.low < 0.03
        value, ties = f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]", 100 * found.ties / len(frame)
        assert f"| {objective} | {value} | {ties:.1f} % |" in (ROOT / "book" / "data-card.md").read_text(
            encoding="utf-8"
        )
        assert found.pairs + found.ties == len(frame)
    assert agreement(frame, "verbosity").high < 0.5  # the less harmful reply is often the shorter one
    assert agreement(frame, "vowels").low < 0.5 < agreement(frame, "vowels").high


def test_pairs_are_never_handed_out_under_another_objectives_name(tmp_path):
    texts = Texts(source=made(tmp_path, many(90)), objective="honesty", train_pairs=30, test_pairs=20)
    for objective in (None, "honesty", "politeness", "pleasing", "helpfulness"):
        with pytest.raises(DataError, match="these pairs say nothing of it"):
            load_texts(texts, objective)


def test_files_are_read_and_digested_once_until_they_are_written(tmp_path, monkeypatch):
    before, digested = made(tmp_path, many(20)), []
    monkeypatch.setattr(reading, "digest", lambda text: digested.append(text) or "0" * 16)
    assert source(tmp_path / "pairs.jsonl") == before and not digested
    assert made(tmp_path, many(21)).revision == "0" * 16 and len(digested) == 1
