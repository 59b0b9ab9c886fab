"""A submission gets what it is given and nothing else: ways to the truth are tried; every way to fail is one line."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from w2s_lib.data.load import split
from w2s_lib.models.pretrain import build_untrained
from w2s_lib.specs import Labelling, Pairs, Pretrain, Submission, Train, World
from w2s_lib.study.mitigations import EXAMPLE
from w2s_lib.training import sealed, sealed_process
from w2s_lib.training.labels import training_pairs
from w2s_lib.training.sealed import Asked, SubmissionError, answer, check_submission, checked
from w2s_lib.training.submission import label_pairs, turned_pairs

WORLD = World(seed=4, substances=90)
PAIRS = Pairs(world=WORLD, train_pairs=48, test_pairs=64)
MODEL = Pretrain(world=WORLD, width=16)
WEAK = Train(model=MODEL, pairs=PAIRS, split="ground_truth")
HEAD = "def mitigate(pairs, weak, features):\n"


def asked(n: int = 6) -> Asked:
    pairs = pd.DataFrame({"prompt": ["p"] * n, "first": ["a"] * n, "second": ["ö"] * n})
    return Asked(pairs, np.linspace(0.1, 0.9, n), np.ones((n, 2, 4), dtype=np.float32))


# Looked at without being run


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "def mitigate(pairs, weak, features:\n    return weak",
            "mine.py, line 1: is no Python ('(' was never closed)",
        ),
        ("x = '\0'", "mine.py: is no Python"),
        ("x = 1", "mine.py: one function mitigate(pairs, weak, features) is needed, and there is none"),
        ("def mitigat(pairs, weak, features): ...", "and there is none; it defines mitigat"),
        (
            HEAD + "    return weak\n" + HEAD + "    return 0",
            "mine.py, line 3: one function .* is needed; this is anot",
        ),
        ("def mitigate(pairs, weak):\n    return weak", "mine.py, line 1: .* this one takes (pairs, weak)"),
        (
            'LOSS, X = "reverse_kl", 1\n' + HEAD + "    return 0",
            "mine.py, line 1: LOSS is read off one line",
        ),
        (
            'if 1:\n    LOSS = "forward"\n' + HEAD + "    return 0",
            "mine.py, line 2: LOSS is read off one line",
        ),
        (
            'LOSS = "revers_kl"\n' + HEAD + "    return 0",
            "mine.py, line 1: LOSS is 'revers_kl'; did you mean 'reverse_kl'?",
        ),
        ("LOSS = str()\n" + HEAD + "    return 0", "mine.py, line 1: LOSS is str(); allowed: forward, reverse_kl"),
        ("def mitigate(a, b, c, *, d):\n    return b", "this one takes (a, b, c, *, d)"),
    ],
)
def test_what_is_no_submission_is_one_line_and_nothing_runs(code, says, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it was run"))
    with pytest.raises(SubmissionError) as error:
        answer(code, asked(), "mine.py")
    assert re.search(re.escape(says).replace(r"\.\*", ".*"), str(error.value)) and "\n" not in str(error.value)


@pytest.mark.parametrize("head", ["def mitigate(a, b, c=None):", "def mitigate(a, *others):", HEAD.strip()])
def test_helpers_and_other_names_of_arguments_are_fine(head):
    assert check_submission(f"def helper(): ...\n{head}\n    return b")


# What it gives


ONES = np.ones(3)


@pytest.mark.parametrize(
    ("labels", "keep", "says"),
    [
        ([0.5, np.nan, np.nan], ONES, "label is nan for pair 1 and 1 more; it must lie between 0 and 1"),
        ([0.5, 1.5, 0.5], ONES, "label is 1.5 for pair 1; it must"),
        ([0.5, 0.5], ONES, r"label has shape \(2,\); one for each pair is needed, \(3,\)"),
        (ONES, True, r"keep has shape \(\)"),
        (["a", "b", "c"], ONES, "label is of kind <U1; numbers"),
        (ONES, [0.5, 1, 1], "keep is of kind float64; true or false"),
        (ONES, 0 * ONES, "keeps none of 3 pairs"),
    ],
)
def test_answers_that_cannot_be_used_are_one_line(labels, keep, says):
    with pytest.raises(SubmissionError, match=says):
        checked(np.array(labels), np.array(keep), 3)


def test_a_label_of_a_pair_that_is_dropped_may_be_anything():
    labels, keep = checked(np.array([np.nan, 0.5]), np.array([False, True]), 2)
    assert keep.tolist() == [False, True] and labels[1] == 0.5


# Run


RUNS = {
    "raises": (HEAD + "    x = 1\n    return [][x]", "mine.py, line 3: raises IndexError: list index out of range"),
    "asks and goes on": (
        HEAD + "    try:\n        open('/etc/hosts').read()\n    except Exception:\n        pass\n    return weak",
        "mine.py, line 3: opens '/etc/hosts', which is sealed",
    ),
    "never ends": (HEAD + "    while True:\n        pass", "takes more than 1 s: no submission may take longer"),
    "prints megabytes": (HEAD + "    while True:\n        print('x' * 10**5)", "prints or writes more than 1 MiB"),
    "takes memory": (HEAD + "    return bytearray(10**10)", "line 2: needs more than 0.25 GiB of memory"),
    "leaves": ("import os\n" + HEAD + "    os._exit(0)", "mine.py: gives no answer; its process ended with 0"),
    "something else": (HEAD + "    return {1: 2}", "mine.py: returns something else than numbers"),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_submission_that_fails_is_one_line(name):
    code, says = RUNS[name]
    with pytest.raises(SubmissionError) as error:
        answer(code, asked(), "mine.py", seconds=1 if name == "never ends" else 30, memory=1 << 28)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_submission_holds_what_it_is_given_and_nothing_else(monkeypatch):
    """No secret in its environment, no module of ours, nothing in its folder but what it was given."""
    monkeypatch.setenv("W2S_CHALLENGE_SECRET", "a secret")
    code = (
        "import gc, os, sys\n"
        + HEAD
        + (
            "    held = [x for x in gc.get_objects() if str(type(x).__module__).startswith('w2s_lib')]\n"
            "    held_by = [d for d in gc.get_objects() if type(d) is dict]\n"
            "    texts = ' '.join(x for d in held_by for x in d.values() if type(x) is str)\n"
            "    ours = [m for m in sys.modules if m.partition('.')[0] == 'w2s_lib']\n"
            "    env = [v for v in os.environ.values() if 'secret' in v] + [k for k in os.environ if 'W2S' in k]\n"
            "    files = sorted(os.listdir('.'))\n"
            "    assert not held and not ours and not env and 'a secret' not in texts, (held, ours, env)\n"
            "    assert files == ['asked.npz', 'code.py', 'printed'], files\n"
            "    assert list(pairs.columns) == ['prompt', 'first', 'second'] and not pairs.attrs\n"
            "    import numpy as np\n"
            "    assert sorted(np.load('asked.npz').files) == ['features', 'first', 'prompt', 'second', 'weak']\n"
            "    return weak, weak > 0.2\n"
        )
    )
    labels, keep = answer(code, asked())
    assert labels.tolist() == asked().weak.tolist() and keep.tolist() == [False] + [True] * 5


WAYS = {
    "read": "open(store)", "by os": "os.open(store, os.O_RDONLY)", "list": "os.listdir(os.path.dirname(store))",
    "scan": "list(os.scandir(os.path.dirname(store)))", "glob": "glob.glob(os.path.dirname(store) + '/*')",
    "path": "pathlib.Path(store).read_text()", "up": "open('../' * 9 + store)", "link": "os.symlink(store, 'here')",
    "numpy": "np.fromfile(store)", "pandas": "pd.read_csv(store)", "code": "open(library + '/specs.py')",
    "module": "__import__('w2s_lib.data.world')", "load": "importlib.util.spec_from_file_location('x', library + "
    "'/digests.py').loader.get_code('x')", "parent": "open(f'/proc/{os.getppid()}/environ', 'rb')",
    "memory": "open(f'/proc/{os.getppid()}/mem', 'rb')", "command": "subprocess.run(['cat', store])",
    "shell": "os.system('cat ' + store)", "fork": "os.fork()", "replace": "os.execv(sys.executable, ['python'])",
    "socket": "socket.create_connection(('127.0.0.1', 9))", "name": "socket.getaddrinfo('localhost', 9)",
    "library": "ctypes.CDLL(None)", "write": "open(library + '/errors.py', 'a')", "move": "os.rename(store, 'here')",
    "remove": "os.remove(store)", "kill": "os.kill(os.getppid(), 0)",
}  # fmt: skip


def test_every_way_to_the_truth_is_refused(tmp_path):
    """In one process, sealed as a submission's is; each way works before the seal, or would, and none behind it."""
    (tmp_path / "store").mkdir()
    store = tmp_path / "store" / "scores.csv"
    store.write_text("p_true\n1\n", encoding="utf-8")
    home = tmp_path / "home"
    home.mkdir()
    library = Path(sealed.__file__).parents[1]
    code = (
        "import ctypes, glob, importlib.util, json, os, pathlib, socket, subprocess, sys\n"
        "import numpy as np, pandas as pd\n"
        f"sys.path.insert(0, {str(library / 'training')!r})\n"
        "import sealed_process as s\n"
        f"store, library, ways, home = {str(store)!r}, {str(library)!r}, {WAYS!r}, os.path.realpath('.')\n"
        "open(store).close(); os.listdir(library)\n"
        "readable = {os.path.realpath(p) for p in sys.path[1:] if p} - {os.path.dirname(library)}\n"
        "asked_for, through = [], []\n"
        "s.refuse_the_rest(home, tuple(readable), asked_for)\n"
        "for name, way in ways.items():\n"
        "    try:\n"
        "        eval(way)\n"
        "        through.append(name)\n"
        "    except s.Sealed:\n"
        "        pass\n"
        "open('mine', 'w').write('what a submission keeps for itself')\n"
        "import scipy.cluster.vq\n"
        "print(json.dumps([through, len(asked_for)]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    through, asked_for = json.loads(done.stdout)
    assert not through and asked_for >= len(WAYS)
    assert store.read_text(encoding="utf-8") == "p_true\n1\n"


# As labels


def scores(p: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"pair_id": split(PAIRS, "weak_label")["pair_id"], "p_true": p})


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    build_untrained(MODEL).save_pretrained(folder)
    return folder


def submission(code: str, order: int = 5) -> Submission:
    return Submission(code=code, model=MODEL, labels=WEAK, order=order)


def student(labels: Submission, **fields) -> Train:
    return Train(model=MODEL, pairs=PAIRS, split="weak_label", labels=labels, **fields)


def test_the_filter_as_a_submission_is_the_book_s_filter(base, tmp_path):
    """Its few lines see first and second in an order that says nothing; their student learns from the same pairs."""
    weak = scores(np.random.default_rng(0).random(48))
    run = submission(EXAMPLE.read_text(encoding="utf-8"))
    note = label_pairs(run, base, weak, tmp_path)
    mine = training_pairs(student(run), [pd.read_parquet(tmp_path / "scores.parquet")])
    book = training_pairs(student(WEAK, labelling=Labelling(keep_above=0.75)), [weak])
    assert note == {"kept": len(book)} and mine["pair_id"].tolist() == book["pair_id"].tolist()
    assert np.allclose(mine["label"], book["label"], atol=1e-12) and mine["weakly_labelled"].all()


def test_what_stands_first_tells_nothing_and_features_go_with_their_reply(base, tmp_path):
    """Whoever always prefers the first is right by chance; a rule that treats both alike does not see the order."""
    label_pairs(submission(HEAD + "    return 0 * weak + 1"), base, scores(np.full(48, 0.9)), tmp_path)
    p = pd.read_parquet(tmp_path / "scores.parquet")["p_true"].to_numpy()
    assert set(p) == {0.0, 1.0} and 0.25 < p.mean() < 0.75
    assert ((p == 0) == turned_pairs(5, 48)).all() and not (turned_pairs(5, 48) == turned_pairs(6, 48)).all()
    fair = (
        HEAD
        + "    d = features[:, 0] - features[:, 1]\n    return 1 / (1 + 2.718281828 ** -(50 * d[:, 0] + weak - 0.5))"
    )
    found = []
    for order in (5, 6):
        label_pairs(submission(fair, order), base, scores(np.linspace(0, 1, 48)), tmp_path)
        found.append(pd.read_parquet(tmp_path / "scores.parquet")["p_true"].to_numpy())
    assert np.allclose(*found) and found[0].std() > 0.05


def test_submissions_are_runs_and_no_other_run_is_named_anew():
    from w2s_lib.study import Study
    from w2s_lib.study.edition import load
    from w2s_lib.study.mitigations import Submitted

    study = Study(load("world"))
    key = lambda study: study.student(21, "tiny-24", "tiny-56", "explicit").key
    assert key(study) == "ad95e0eff6a8ce3b" and key(study.under_mitigation("filter")) == "994781ab45088049"
    assert key(study.under_mitigation("bootstrap", "tiny-36")) == "d8ee6755db416fde"
    a, d = (f"{HEAD}    return weak{more}" for more in ("", ".round()"))
    mine = [study.under_submission(Submitted(*how)) for how in ((a, "b"), (a, "c"), (d, "b"), (a, "b"))]
    assert len({key(one) for one in mine}) == 3, "code and secret name it"
    run = mine[0].student(21, "tiny-24", "tiny-56")
    assert Train.model_validate(run.model_dump(mode="json")) == run and isinstance(run.labels, Submission)
    assert run.labels.parents() == (run.model, study.weak(21, "tiny-24"))
    reverse = study.under_submission(Submitted(f'LOSS = "reverse_kl"\n{a}', "b")).student(21, "tiny-24", "tiny-56")
    assert reverse.recipe.loss == "reverse_kl" and run.recipe.loss == "forward"
    gold = mine[0].student(21, "tiny-24", "tiny-56", "gold")
    assert gold == study.student(21, "tiny-24", "tiny-56", "gold")


def test_the_process_names_no_module_of_ours():
    assert "w2s_lib" not in Path(sealed_process.__file__).read_text(encoding="utf-8").partition("import numpy")[2]
