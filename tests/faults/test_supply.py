"""What comes with models, pairs and results is read and never run: no pickle is opened, no code is loaded."""

from __future__ import annotations

import ast
import io
import os
import pickle
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.faults.conftest import RUNS
from tests.test_report import many, write
from w2s_lib.book.own import own
from w2s_lib.book.report import main
from w2s_lib.errors import OneLineError
from w2s_lib.lab import Lab
from w2s_lib.lab.provenance import PACKAGES, licences

LIBRARY = sorted((ROOT / "w2s_lib").rglob("*.py"))

PICKLES = (
    "pytorch_model.bin", "model.bin", "adapter_model.bin", "training_args.bin", "optimizer.pt", "scheduler.pt",
    "model.pt",
    "model.ckpt", "weights.pth", "tokenizer.pkl", "vocab.pkl", "model.pkl", "pairs.pkl", "pairs.pickle", "scores.pkl",
    "rng_state.pth", "data.joblib",
)  # fmt: skip
"""Names under which libraries have kept pickles."""


class Payload:
    """What makes a folder where it is unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self):
        return os.mkdir, (str(self.made),)


@pytest.fixture
def plant(tmp_path, counted):
    """Puts pickles into a folder that make another one where they are opened; afterwards it must not be there."""
    made, planted = tmp_path / "opened", []

    def do(folder: Path) -> None:
        planted.append(folder)
        for name in PICKLES:
            (folder / name).write_bytes(pickle.dumps(Payload(made)))
        np.savez(folder / "pairs.npz", x=np.array([Payload(made)], dtype=object))

    yield do
    assert not made.exists(), "a pickle was opened"
    fault = f"pickles under {len(PICKLES) + 1} names in a folder of models, pairs or results"
    counted[fault, "none was opened"] += len(planted)


def test_a_planted_pickle_would_be_noticed(tmp_path):
    with pytest.raises(FileExistsError):
        for _ in range(2):
            pickle.load(io.BytesIO(pickle.dumps(Payload(tmp_path / "opened"))))


@pytest.mark.slow
def test_pickles_beside_models_pairs_and_results_are_never_opened(tmp_path, folders, plant):
    models = [Path(shutil.copytree(folders[name], tmp_path / name)) for name in ("gpt2", "llama")]
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "pairs.jsonl", many(120, 1))
    for folder in (*models, tmp_path / "data"):
        plant(folder)
    names = (f"{models[0]}:1", str(models[1]))
    given = {"seeds": [1], "max_tokens": 96, "reward_model": {"epochs": 1}}
    try:
        study = own(tmp_path / "data", *names, **given)
    except OneLineError:  # what cannot be read may be named
        study = own(tmp_path / "data" / "pairs.jsonl", *names, **given)
    lab = Lab(tmp_path / "store", workers=0, progress=False)
    run = study.weak(1, names[0])
    lab.run([run])
    plant(lab.store.path(run)), plant(lab.store.root)
    again = Lab(tmp_path / "store", workers=0, progress=False)
    assert len(again.scores(run)) and again.run([study.student(1, *names)]) == 1
    again.record(run), again.of_other_code([run])


@pytest.mark.slow
def test_pickles_beside_what_runs_left_are_never_opened(tmp_path, undisturbed, plant):
    store = Path(shutil.copytree(undisturbed.store.root, tmp_path / "store"))
    lab = Lab(store, workers=0, progress=False)
    for spec in RUNS:
        plant(lab.store.path(spec))
    shutil.rmtree(lab.store.path(RUNS[-1]))
    assert lab.run(RUNS) == 1


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_that_comes_with_a_model_is_refused_in_one_line_and_never_run(tmp_path, folders, capsys, counted, file):
    mine = Path(shutil.copytree(folders["llama"], tmp_path / "mine"))
    text = (mine / file).read_text(encoding="utf-8")
    (mine / file).write_text(
        text.replace("{", '{"auto_map": {"AutoConfig": "mine.Config", "AutoTokenizer": "mine.T"},', 1), encoding="utf-8"
    )
    (mine / "mine.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'opened')!r})\n", encoding="utf-8")
    data = write(tmp_path / "pairs.jsonl", many(120, 1))
    command = [str(data), "--weak", str(folders["gpt2"]), "--strong", str(mine), "--store", str(tmp_path / "store")]
    assert main([*command, "--dry-run"]) == 2 == main([*command, "--out", str(tmp_path / "page.html")])
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and all(f"auto_map in {file}: brings code of its own" in line for line in said)
    assert not (tmp_path / "opened").exists() and not list(tmp_path.rglob("record.json"))
    counted["a model that brings code of its own", "refused in one line; the code never ran"] += 1


WATCH = """
import os, sys

def asked(event, given):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        to = given[0] if event.startswith("socket.get") else given[1]
        host = to[0] if isinstance(to, tuple) else to  # of a Unix socket, a path
        near = host is None or os.fsdecode(host).startswith(("/", "\\0")) or os.fsdecode(host) in NEAR
        if not near:
            with open(os.environ["W2S_ASKED"], "a", encoding="utf-8") as file:
                print(event, host, sys.argv, file=file)
            raise OSError(101, "no other host may be asked")

NEAR = ("", "127.0.0.1", "::1", "0.0.0.0", "localhost")
sys.addaudithook(asked)
"""
"""What Python imports as it starts, in workers as well: whoever asks another host is told off, and noted."""


@pytest.mark.slow
def test_a_report_on_models_and_pairs_that_lie_here_asks_no_other_host(tmp_path, folders, tried):
    """As users run it: nothing tells the hub's client to stay at home."""
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "sitecustomize.py").write_text(WATCH, encoding="utf-8")
    noted = tmp_path / "asked.txt"
    own = {"PYTHONPATH": f"{tmp_path / 'first'}{os.pathsep}{ROOT}", "W2S_ASKED": str(noted), "HF_HOME": str(tmp_path)}
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"} | own
    do = partial(subprocess.run, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8")
    control = "from huggingface_hub import HfApi; HfApi().model_info('openai-community/gpt2')"
    assert do([sys.executable, "-c", control]).returncode and "huggingface.co" in noted.read_text(encoding="utf-8")
    noted.unlink()
    data = write(tmp_path / "pairs.jsonl", many(120, 1))
    told = {"--weak": f"{folders['gpt2']}:1", "--strong": folders["llama"], "--seeds": 1, "--draws": 100}
    told |= {"--max-tokens": 96, "--recipe": "epochs=1", "--workers": 1, "--store": tmp_path / "store"}
    command = [sys.executable, "-m", "w2s_lib.book.report", data, *(word for pair in told.items() for word in pair)]
    done = do([*map(str, command)])
    assert done.returncode == 0 and (tmp_path / "report.html").is_file(), done.stderr
    assert not noted.exists(), noted.read_text(encoding="utf-8")
    tried("a report with every word to another host refused", 1, "none was spoken; the report is whole")


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    """What a file calls, by the words of the code: ``torch.load``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_in_the_library_opens_a_pickle_or_trusts_code(path):
    """It could not run what is planted under names that nobody has thought of."""
    reads = r"torch\.load|(c?pickle|cloudpickle|dill|joblib|shelve|marshal)\.\w+|\w+\.read_pickle|np\.load"
    opens = re.compile(rf"({reads}|eval|exec)$")
    trusts = {"trust_remote_code": False, "use_safetensors": True, "weights_only": True, "allow_pickle": False}
    for name, call in calls(path):
        plain = name == "np.load" and any(keyword.arg == "allow_pickle" for keyword in call.keywords)
        sealed = name == "exec" and path.stem == "sealed_process"  # submitted code, in a process that holds no truth
        assert plain or sealed or not opens.match(name), f"{name} in line {call.lineno}"
        for keyword in (keyword for keyword in call.keywords if keyword.arg in trusts):
            assert ast.literal_eval(keyword.value) is trusts[keyword.arg], f"{keyword.arg} in line {call.lineno}"


def test_licences_are_told_where_another_reader_of_metadata_stands_before_pythons():
    """``importlib_metadata``, which packages bring along, puts itself there, and raises where a field is missing."""
    program = "import importlib_metadata; from w2s_lib.lab.provenance import licences; print(len(licences()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", cwd=ROOT)
    assert done.returncode == 0 and int(done.stdout) == len(licences()), done.stderr


def test_licences_of_all_packages_are_told():
    found = licences().set_index("package")
    assert set(PACKAGES) <= set(found.index) and len(found) > 2 * len(PACKAGES), "also those that packages depend on"
    assert "BSD-3-Clause" in found.loc["torch", "licence"] and found.loc["transformers", "licence"].startswith("Apache")
    assert not found["version"].eq("").any() and found["licence"].ne("").mean() > 0.95
