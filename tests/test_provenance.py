"""Where a result comes from: what a run goes through is named, and only what may change its numbers counts."""

import shutil
import subprocess
import sys

import pytest

from tests.test_imports import MODULES as ALL
from tests.test_imports import PACKAGE, imported
from w2s_lib.lab import provenance
from w2s_lib.lab.provenance import MAKERS, MODULES, code, is_alive, is_of_other_code, meaning, versions


def through(module: str) -> set[str]:
    """A module, and those that it imports, and so on."""
    found, todo = set(), [module]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += imported(ALL[name])
    return found


def test_every_module_that_a_run_goes_through_is_named():
    of_training = (
        "training.train", "training.submission", "training.society", "training.search", "training.judgement",
        "models.pretrain", "models.features",
    )  # fmt: skip
    assert set(MODULES) == set().union(*map(through, of_training))


SOURCE = '''"""A module."""
RATE = 0.5
"""Of learning."""


def half(x):
    """Half of it."""
    return x * RATE
'''


def test_what_a_module_says_of_itself_does_not_count_and_what_it_does_counts():
    assert meaning(SOURCE) == meaning(
        'RATE = 0.5  # a half\ndef half(x):\n    "50 %."\n    return (\n        x * RATE\n    )\n'
    )
    assert meaning(SOURCE) != meaning(SOURCE.replace("0.5", "0.25"))
    assert meaning("def f(): return 'a'") != meaning("def f(): return 'b'"), "a string that is used"


def test_a_change_of_one_module_is_another_code(tmp_path, monkeypatch):
    shutil.copytree(PACKAGE, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "lab" / "provenance.py"))
    assert code.__wrapped__() == code()
    (tmp_path / "training" / "losses.py").write_text(
        (PACKAGE / "training" / "losses.py").read_text(encoding="utf-8") + "\n# a comment\n", encoding="utf-8"
    )
    assert code.__wrapped__() == code()
    (tmp_path / "training" / "losses.py").write_text(
        (PACKAGE / "training" / "losses.py").read_text(encoding="utf-8") + "\nMORE = 1\n", encoding="utf-8"
    )
    assert code.__wrapped__() != code()


def with_versions(**others: str) -> dict:
    return {"code": code(), "versions": versions() | others}


def test_only_what_makes_numbers_is_compared():
    minor = versions()["python"].rpartition(".")[0]
    for same in (
        with_versions(),
        with_versions(seaborn="0"),
        with_versions(python=f"{minor}.99"),
        with_versions(torch=versions()["torch"] + "+cu"),
    ):
        assert not is_of_other_code(same)
    others = [with_versions(**{name: "0"}) for name in MAKERS]
    for other in (
        *others,
        with_versions(python="3.99.1"),
        with_versions() | {"code": "0"},
        {"versions": versions()},
        {},
    ):
        assert is_of_other_code(other)


def test_a_process_is_alive_until_it_ends():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert is_alive(process.pid)
    process.communicate()
    assert not is_alive(process.pid)


@pytest.mark.parametrize("told", ["boot_id", "pid namespace"])
def test_a_machine_without_proc_has_a_name(told, monkeypatch):
    def silent(*_, **__):
        raise FileNotFoundError

    before = provenance.machine()
    monkeypatch.setattr(*((provenance.Path, "read_text") if told == "boot_id" else (provenance.os, "readlink")), silent)
    assert len(provenance.machine.__wrapped__()) == 8
    assert provenance.machine() == before
