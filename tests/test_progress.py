"""How far long work is, in lines: what is said, how often, and by whom."""

import pytest
import torch
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

from tests.small import LARGE, RERUN, SMALL, STUDENT, WEAK
from w2s_lib import progress
from w2s_lib.book.build import notebook_paths, seconds_after_runs, times_before
from w2s_lib.lab import Lab, cluster
from w2s_lib.lab.remaining import Remaining
from w2s_lib.progress import Progress, span, tell_steps, watch, working_on


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still; ``clock(seconds)`` puts it on."""
    now = [0.0]
    monkeypatch.setattr("w2s_lib.progress.time.monotonic", lambda: now[0])

    def on(seconds: float) -> None:
        now[0] += seconds

    return on


def test_a_line_now_and_then_says_what_is_done_and_what_is_left(clock):
    told: list[str] = []
    work = Progress("runs", 8000, told.append)
    for done in range(1, 5):
        clock(20)
        work.at(1000 * done, now="a run")
    assert told == ["runs: 2,000 of 8,000, about 2 min left; a run", "runs: 4,000 of 8,000, about 80 s left; a run"]


def test_what_is_short_says_nothing(clock, capsys):
    work = Progress("runs", 2)
    clock(progress.EVERY - 1)
    work.at(1)
    work.close()
    assert capsys.readouterr().err == ""


def test_a_log_has_lines_and_a_terminal_one_line(clock, capsys, monkeypatch):
    for n in range(2):
        work = Progress("runs", 4)
        for done in (1, 2):
            clock(60)
            work.at(done, then=600.0)
        work.close()
        text = capsys.readouterr().err
        last = "runs: 2 of 4, about 2 min left, 12 min for the whole build"
        if n == 0:
            assert text.splitlines()[-1] == last and len(text.splitlines()) == 2
            assert not {"\r", "\x1b"} & set(text)
            monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
        else:
            assert text.count("\r") == 2 and text.count("\n") == 1 and text.endswith("\n") and last in text


def test_time_left_is_that_of_runs_that_are_alike(clock):
    """Three long runs and one short one are left, of three and three: long ones take ten times as long."""
    long, short = ([spec.model_copy(update={"replica": i}) for i in range(3)] for spec in (STUDENT, WEAK))
    remaining = Remaining([*long, *short], shown=False)
    assert remaining.share() == 0
    remaining.done(long[0], 10.0)
    assert remaining.share() == pytest.approx(10 / 60), "nothing else is known yet"
    remaining.done(short[0], 1.0)
    assert remaining.share() == pytest.approx(11 / 33)
    for run in (*long[1:], *short[1:]):
        remaining.done(run, 10.0)
    assert remaining.share() == 1


def test_a_failed_run_counts_as_done_and_tells_nothing_of_time():
    remaining = Remaining([WEAK, RERUN], shown=False)
    remaining.done(WEAK, None)
    assert remaining.share() == 0
    remaining.done(RERUN, 3.0)
    assert remaining.share() == 1


def test_the_run_at_hand_says_how_far_it_is(clock):
    told: list[str] = []
    with working_on("features of gpt2", told.append):
        for _ in tell_steps(range(4), 4, "reading"):
            clock(31)
    assert told[-1] == "features of gpt2, reading: 3 of 4, about 31 s left"
    assert [*tell_steps("ab", 2, "reading")] == ["a", "b"], "where no run is at hand, nothing is told"


class Numbers(Dataset):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return {"x": torch.ones(1)}


class Line(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(1, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": self.line(x).sum()}


def test_a_trainer_says_how_far_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    told: list[str] = []
    options = {"use_cpu": True, "report_to": [], "disable_tqdm": True, "save_strategy": "no", "num_train_epochs": 1}
    with working_on("dpo of gpt2", told.append):
        trainer = Trainer(
            Line(), TrainingArguments(str(tmp_path), per_device_train_batch_size=2, **options), train_dataset=Numbers()
        )
        watch(trainer)
        trainer.train()
    assert [line.split(", about")[0] for line in told] == [f"dpo of gpt2, training: {n} of 3" for n in (1, 2, 3)]


def test_runs_are_told_of_while_they_are_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    lab = Lab(tmp_path, workers=0)
    lab.then = 3600.0
    lab.run([LARGE])
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith("pretrain width 16, seed 9, training: ") for line in lines)
    assert lines[-1].startswith("runs: 1 of 1, about 0 s left, 60 min for the whole build; pretrain width 16")
    lab.progress = False
    lab.run([SMALL])
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_workers_tell_the_client(tmp_path):
    told: list[str] = []
    with cluster.connect(cluster.LOCAL, 1, 1, 0, tmp_path) as connection:
        cluster.hear(connection, told.append)
        say = lambda: cluster.heard_by_client()("step 1 of 2")
        connection.client.submit(say).result()
        connection.client.submit(lambda: 0).result()
        for _ in range(100):
            if told:
                break
            connection.client.sync(lambda: __import__("asyncio").sleep(0.05))
    assert told == ["step 1 of 2"]


def test_outside_a_worker_there_is_no_client_to_tell():
    import distributed  # noqa: F401

    assert cluster.heard_by_client() is None


def test_a_build_expects_what_the_last_one_took(tmp_path):
    assert times_before(tmp_path) == {}
    (tmp_path / "times.json").write_text('{"chapters": {"14_claims": 1000}}', encoding="utf-8")
    guess = seconds_after_runs({}, workers=1)
    assert seconds_after_runs(times_before(tmp_path), workers=1) > guess > 25 * len(notebook_paths())
    (tmp_path / "times.json").write_text('{"chap', encoding="utf-8")
    assert times_before(tmp_path) == {}


def test_time_in_words():
    assert [span(s) for s in (0, 89, 90, 5000, 5460)] == ["0 s", "89 s", "2 min", "83 min", "1 h 31 min"]
