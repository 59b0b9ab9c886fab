"""The pairs of one study, from the world or from a data set, in leak-free splits."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import pandas as pd

from w2s_lib.data.cleaning import usable_pairs
from w2s_lib.data.pairs import PairsError, check_disjoint, with_ids
from w2s_lib.data.preferences import SURFACE, prefer
from w2s_lib.data.reading import DataError
from w2s_lib.data.sources import objective_of, source_name
from w2s_lib.data.world import EOS, SPLITS, draw_pairs, opening
from w2s_lib.specs import Conflict, Objective, Pairs, Source, Split, Texts, stream


def splits(frame: pd.DataFrame, seed: int, train_pairs: int, test_pairs: int) -> pd.DataFrame:
    """The pairs that one study uses, with their ``split``, the three splits in order, rows in the seed's order.

    All pairs of one prompt are in one split.  A prompt's place depends on the seed and on what it says, not on other
    pairs; the test split is drawn first, so that it is the same for every number of training pairs.

    Raises:
        PairsError: there are too few pairs.
    """
    place = frame["prompt"].map({prompt: stream(seed, "splits", prompt) for prompt in frame["prompt"].unique()})
    rows = frame.assign(place=place).sort_values(["place", "chosen", "rejected"], ignore_index=True)
    starts = rows.index[~rows["prompt"].duplicated()]
    found, start = {}, 0
    for name in ("test", "ground_truth", "weak_label"):
        stop = start + (test_pairs if name == "test" else train_pairs)
        found[name] = rows.iloc[start:stop].assign(split=name)
        start = min(starts[starts >= stop], default=max(stop, len(rows)))
    if stop > len(rows):
        raise PairsError(
            f"train_pairs={train_pairs}, test_pairs={test_pairs}: too few pairs; {len(rows)} of {len(starts)} prompts "
            "can be used, where all pairs of a prompt are in one split; lower them, or give more pairs"
        )
    return pd.concat([found[name] for name in SPLITS], ignore_index=True).drop(columns="place")


def _for_students(frame: pd.DataFrame, texts: Texts) -> pd.DataFrame:
    """Pairs of another data set in both training halves, or, where they are too few for that, all of them, up to
    ``train_pairs``, in the half that students learn from."""
    try:
        return splits(frame, texts.seed, texts.train_pairs, 0)
    except PairsError:
        return splits(frame, texts.seed, 0, min(len(frame), texts.train_pairs)).assign(split="weak_label")


TOLD_APART = 0.5
"""An objective that is read off the texts tells at least this share of the pairs apart, or it is not mixed in."""


INSTEAD = {"vowels": "placebo: parity", "verbosity": "helpful pairs (helpful)"}
"""What an edition can name in the place of an objective."""


class TiesError(PairsError):
    """Pairs that are too seldom told apart by an objective: ``told`` of those that would be mixed in."""

    def __init__(self, data: str, objective: Objective, told: int, of: int) -> None:
        self.told, self.of = told, of
        says = f"objective={objective!r}: tells {told} of {of} pairs apart; {TOLD_APART:.0%} are needed"
        other = f"; name {INSTEAD[objective]} instead" if objective in INSTEAD else ""
        super().__init__(f"data={data!r}: {says}{other}")


def _source_of(texts: Texts, aim: Objective) -> Source:
    """The data set whose pairs say something of an objective.

    Raises:
        DataError: none does, or the helpful pairs are the study's own.
    """
    sources = dict.fromkeys((objective_of(texts.source), *SURFACE), texts.source)
    name = source_name(texts.source)
    if texts.helpful == texts.source:
        raise DataError(name, "cannot be helpful pairs as well: a student would learn the same twice")
    if texts.helpful is not None:
        sources.setdefault("helpfulness", texts.helpful)
    if aim not in sources:
        hint = "; helpful=None: name helpful pairs" if aim == "helpfulness" else ""
        says = f"objective={aim!r}: these pairs say nothing of it{hint}; allowed: {', '.join(sources)}"
        raise DataError(name, says)
    return sources[aim]


@lru_cache(maxsize=16)
def load_texts(texts: Texts, objective: Objective | None = None) -> pd.DataFrame:
    """The pairs of one study by one objective (None: its own), in three splits; the same frame for the same spec.

    Columns ``pair_id``, ``prompt``, ``chosen``, ``rejected``, ``objective``, ``split``, ``kind`` (the data set),
    ``part`` (of it, where the row names one), ``cluster`` (names the prompt), ``hazardous`` (missing: nobody knows) and
    ``turned`` (whether the data set labels it the other way).

    A ``SURFACE`` objective beside the study's own is mixed in with the pairs of a split, and a student must not meet
    the same pair twice, under two labels.  So for ``weak_label`` it takes the pairs of ``ground_truth``, which the
    student sees nowhere else, and for ``ground_truth`` those of ``weak_label``; there are fewer of them, by the ties.
    Helpfulness pairs come from a data set of their own, without the prompts of the first, and have no test split;
    where they are too few for both halves, all are in ``weak_label``, and fewer than ``train_pairs`` may be there.

    Raises:
        DataError: no data set says anything of this objective.
        PairsError: there are too few pairs.
        TiesError: too few of those to mix in are told apart.
    """
    aim = objective or texts.objective
    source = _source_of(texts, aim)
    mine = source == texts.source
    frame = usable_pairs(source, texts.max_tokens)
    if mine:
        try:
            frame = splits(frame, texts.seed, texts.train_pairs, texts.test_pairs)
        except PairsError as error:
            raise PairsError(f"data={source_name(source)!r}: {error}") from None
    else:
        frame = _for_students(frame[~frame["prompt"].isin(usable_pairs(texts.source)["prompt"])], texts)
    if aim != texts.objective and mine:
        frame["split"] = frame["split"].replace({"ground_truth": "weak_label", "weak_label": "ground_truth"})
        frame = pd.concat([frame[frame["split"] == name] for name in SPLITS], ignore_index=True)
    frame = prefer(frame, aim).assign(objective=aim, kind=source.name)
    told = (frame["split"] == "weak_label").sum()
    if aim != texts.objective and mine and told < TOLD_APART * texts.train_pairs:
        raise TiesError(source_name(source), aim, told, texts.train_pairs)
    frame["cluster"] = frame["prompt"].map(lambda prompt: hashlib.sha256(prompt.encode()).hexdigest()[:12])
    frame["hazardous"] = pd.array([pd.NA] * len(frame), dtype="boolean")
    return frame[[*"pair_id prompt chosen rejected objective split kind part cluster hazardous turned".split()]]


def mislabelled(frame: pd.DataFrame, pairs: Pairs) -> pd.DataFrame:
    """The pairs, of which ``label_noise`` have changed chosen for rejected: as if people had marked them in haste.

    Which ones depends on the study seed and the pair alone: those of less noise are among those of more."""
    drawn = frame["pair_id"].map(lambda pair: stream(pairs.seed, "label noise", pair) / 2**63)
    wrong, sides = drawn < pairs.label_noise, ["chosen", "rejected"]
    frame.loc[wrong, sides] = frame.loc[wrong, sides[::-1]].to_numpy()
    return frame


@lru_cache(maxsize=16)
def load(pairs: Pairs | Texts, objective: Objective | None = None) -> pd.DataFrame:
    """All pairs of one objective (None: the spec's own) in three splits; the same frame for the same spec.

    Splits: ``ground_truth`` (the weak supervisor's half), ``weak_label`` (the half it labels for the student, on which
    the ceiling is trained with ground truth) and ``test``; no substance, prompt or pair is in two of them.
    Where the world's labels are noisy, what is called true here is what the label says, as in any data set.
    Columns as of ``draw_pairs`` or ``load_texts``, with ``pair_id`` and what a model reads around a reply: ``opening``
    before it, ``ending`` behind it.
    """
    objective = objective or pairs.objective
    if isinstance(pairs, Texts):
        frame = load_texts(pairs, objective).assign(opening=lambda f: f["prompt"], ending="")
    else:
        sizes = dict.fromkeys(SPLITS, pairs.train_pairs) | {"test": pairs.test_pairs}
        frames = [draw_pairs(pairs.world, objective, name, size) for name, size in sizes.items()]
        frame = with_ids(pd.concat(frames, ignore_index=True))
        if pairs.label_noise and objective == pairs.objective:
            frame = mislabelled(frame, pairs)
        frame = frame.assign(opening=frame["prompt"].map(opening) + " ", ending=f" {EOS}")
    return check_disjoint(frame)


def split(pairs: Pairs | Texts, name: Split, objective: Objective | None = None) -> pd.DataFrame:
    """The pairs of one split, index from 0."""
    frame = load(pairs, objective)
    return frame[frame["split"] == name].reset_index(drop=True)


def mixed_in(pairs: Pairs | Texts, name: Split, conflict: Conflict, among: int) -> pd.DataFrame:
    """The pairs of a split that a mixed conflict adds to so many others; a smaller share is a part of a larger one.

    Raises:
        PairsError: there are fewer pairs of another data set than that.
    """
    frame, wanted = split(pairs, name, conflict.objective), round(conflict.share * among)
    if conflict.part is not None:
        frame = frame[frame["part"] == conflict.part]
    if len(frame) < wanted and (conflict.part is not None or conflict.objective not in SURFACE):
        of = f" of {conflict.part!r}" if conflict.part else ""
        says = f"{wanted} {conflict.objective} pairs{of} are asked for, and there are {len(frame)}"
        raise PairsError(f"helpful_share={conflict.share:g}: {says}; use at most {len(frame) / among:.4f}")
    return frame.iloc[:wanted]
