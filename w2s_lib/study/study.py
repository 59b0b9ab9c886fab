"""A study: from an edition to the runs it needs, and from their scores to comparisons.

Here stands who is trained on what.  The weak supervisor sees ground truth on the first half; it labels
the second half for its students; the ceiling is trained on the second half with ground truth, so that
it differs from a student in its labels (Burns et al. 2023), by random streams that no student shares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from w2s_lib.data.reading import DataError
from w2s_lib.data.sources import source
from w2s_lib.errors import ParameterError
from w2s_lib.lab import Lab
from w2s_lib.measures.metrics import Comparison
from w2s_lib.models.ladder import LADDER, parse
from w2s_lib.models.names import checkpoint_named
from w2s_lib.specs import (
    Checkpoint,
    Conflict,
    Features,
    Judgement,
    Labelling,
    Layer,
    Method,
    Objective,
    Pairs,
    PolicyRecipe,
    Pretrain,
    Recipe,
    Search,
    Selection,
    Society,
    Source,
    Split,
    Texts,
    Train,
    World,
)
from w2s_lib.study.conditions import (
    ABOVE_ONE,
    BESIDE_THE_CORE,
    CEILING,
    CONDITIONS,
    CONTROLS,
    CORE,
    INDEPENDENT,
    LOSS_DOSE,
    POLICY,
    STREAMS,
    STUDENT,
    TURNS,
)
from w2s_lib.study.edition import RELATIVE, SOME_PAIRS, WORLD, Edition
from w2s_lib.study.methods import HEAD, PROMPTS, SOCIETY, VARIANTS
from w2s_lib.study.mitigations import (
    AGAIN,
    AGAIN_WITH_RERUN,
    BY_OPINION,
    ENSEMBLE,
    EXAMPLE,
    FENCES,
    FOR_POLICIES,
    MITIGATIONS,
    PRACTICE,
    REVERSE,
    TOKENS,
    TWO_STAGES,
    USUAL,
    Submitted,
)

Run = Pretrain | Features | Train | Society | Search | Judgement

COMPARED = ("explicit", "rerun")

REPLIED = ("none", "explicit", "rerun")
"""Conditions under which policies of real models reply."""

NOISE = 0.3
"""Share of labels that are turned around where the world is given noisy ones: its ceilings then rank about as many
pairs right as those of the edition hh-smol."""


def distinct(runs: Iterable[Run]) -> list[Run]:
    """Each run once, in the order of its first appearance."""
    return list(dict.fromkeys(runs))


@dataclass(frozen=True)
class Study:
    """The runs of one edition.

    ``objective`` is what supervision aims at.  ``ceiling_half`` is the half of the training pairs that the ceiling is
    trained on: the student's (Burns et al. 2023; the default) or the weak supervisor's (the scripts of the paper).
    ``method`` trains every model of the study, by the method's recipe unless another one is given.  ``labelling`` is
    what is done with the weak labels.  ``mitigation``, if any, is what is tried against deception; ``via`` the
    intermediate model of bootstrapping; ``submitted`` is tried in its place.  ``resampled``: where it has a single
    seed, intervals come from its pairs, drawn again and again; a seed that is one of many needs none.  ``pretraining``
    and ``training`` count repetitions on the same seeds: models of the world pretrained once more, and all that is
    trained on them trained once more, supervisor, ceiling and every student by random streams of their own."""

    edition: Edition
    objective: Objective = "harmlessness"
    ceiling_half: Split = "weak_label"
    method: Method = "reward_model"
    recipe: Recipe | PolicyRecipe | None = None
    labelling: Labelling = Labelling()
    mitigation: str | None = None
    via: str | None = None
    submitted: Submitted | None = None
    resampled: bool = True
    pretraining: int = 0
    training: int = 0
    lab: Lab | None = field(default=None, compare=False, repr=False)

    def on(self, lab: Lab) -> Study:
        """The same study with a lab, which has its results, or trains what is missing."""
        return replace(self, lab=lab)

    def restricted_to(
        self, seeds: Sequence[int] | None = None, weak_strong_pairs: Sequence[str] | None = None
    ) -> Study:
        """The same study with fewer seeds or weak-strong pairs."""
        fewer = {} if seeds is None else {"seeds": tuple(seeds)}
        if weak_strong_pairs is not None:
            fewer |= dict.fromkeys(("weak_strong_pairs", *SOME_PAIRS), tuple(weak_strong_pairs))
        return replace(self, edition=self.edition.model_copy(update=fewer))

    def one_of_many(self, seed: int) -> Study:
        """The same study with this seed alone, beside which others stand: its pairs are not resampled."""
        return replace(self.restricted_to(seeds=[seed]), resampled=False)

    def with_parameters(self, **fields: float | str) -> Study:
        """The same study with another ``alpha``, ``threshold`` or ``placebo``."""
        return replace(self, edition=self.edition.model_copy(update=fields))

    def on_control_weak_strong_pairs(self) -> Study:
        """The same study on the edition's control weak-strong pairs."""
        return self.restricted_to(weak_strong_pairs=self.edition.control_weak_strong_pairs)

    def aiming_at(self, objective: Objective) -> Study:
        """The same study with another aim of supervision."""
        return replace(self, objective=objective)

    def trained_by(self, method: Method, **recipe: float) -> Study:
        """The same study by another method, as the edition sets it; ``recipe`` replaces fields of the method's recipe.

        Policies learn from rounded labels (the paper swaps pairs where the weak model disagrees), reward models from
        soft ones.
        """
        changed = self.edition.recipe(method).model_copy(update=recipe)
        return replace(self, method=method, recipe=changed, labelling=Labelling(hard=method != "reward_model"))

    def with_soft_labels(self) -> Study:
        """The same study on soft weak labels."""
        return replace(self, labelling=Labelling())

    def under_mitigation(self, mitigation: str, via: str | None = None) -> Study:
        """The same study under a mitigation (empty: none); bootstrapping goes ``via`` an intermediate model."""
        return replace(self, mitigation=mitigation or None, via=via)

    def under_submission(self, submitted: Submitted) -> Study:
        """The same study under a mitigation that somebody submitted."""
        return replace(self, submitted=submitted)

    @cached_property
    def _asked(self) -> dict[tuple[object, ...], Any]:
        """What ``pairs``, ``model``, ``compared`` and ``probabilities`` gave: a study asks for them over and over."""
        return {}

    def _once(self, give: Callable[..., Any], *asked: object) -> Any:
        if asked not in self._asked:
            self._asked[asked] = give(*asked)
        return self._asked[asked]

    def pairs(self, seed: int) -> Pairs:
        """The preference pairs of one study seed."""
        return self._once(self._pairs, seed)

    def _pairs(self, seed: int) -> Pairs | Texts:
        e = self.edition
        sizes = {"objective": self.objective, "train_pairs": e.train_pairs, "test_pairs": e.test_pairs}
        if e.data == WORLD:
            world = World(seed=seed, substances=e.substances)
            return Pairs(world=world, label_noise=e.label_noise, **sizes)
        cut = {"max_tokens": e.max_tokens, "truncation_side": e.truncation_side}
        return Texts(source=self._source("data"), seed=seed, helpful=self._source("helpful"), **cut, **sizes)

    def _source(self, name: Literal["data", "helpful"]) -> Source | None:
        """What that parameter of the edition names."""
        given = getattr(self.edition, name)
        try:
            return None if given is None else source(self.edition.at(given))
        except DataError as error:
            relative = RELATIVE if self.edition.at(given) != given else ""
            raise ParameterError(name, given, f"{error.says}{relative}") from None

    def model(self, seed: int, name: str) -> Pretrain | Checkpoint | Layer:
        """A pretrained language model, or one layer of it, by its name in the ladder."""
        return self._once(self._model, seed, name)

    def _model(self, seed: int, name: str) -> Pretrain | Checkpoint | Layer:
        e, pairs = self.edition, self.pairs(seed)
        if isinstance(pairs, Pairs):
            return LADDER[name].pretrain(pairs.world, e.reading).model_copy(update={"replica": self.pretraining})
        if self.pretraining:
            raise ParameterError(
                "pretraining", self.pretraining, "repeats the world's models; others were given as such"
            )
        base, blocks, layer, pooling = parse(e.at(name))
        if layer is None:
            return checkpoint_named(base, layers=blocks, dtype=e.precision(name, self.method), lora_rank=e.lora_rank)
        whole = checkpoint_named(base, layers=blocks, dtype=e.dtype)
        features = Features(checkpoint=whole, source=pairs.source, max_tokens=pairs.max_tokens)
        return Layer(features=features, layer=layer, pooling=pooling)

    def conflict(self, condition: str) -> Conflict:
        """The conflict of a condition; where only the world has an objective, what takes its place on real texts."""
        found = CONDITIONS[condition].conflict(self.edition.alpha, self.objective)
        if found.part is not None and self.edition.helpful is None:
            says = f"mixes in helpful pairs of {found.part!r}; name helpful pairs (helpful) that say so"
            raise ParameterError("condition", condition, says)
        if self.edition.data == WORLD:
            return found
        if found.objective == "helpfulness" and self.edition.helpful is not None:
            return found.model_copy(update={"share": found.share * self.edition.helpful_share})
        instead: dict[Objective | None, Objective] = {"politeness": self.edition.placebo, "helpfulness": "verbosity"}
        return found.model_copy(update={"objective": instead.get(found.objective, found.objective)})

    def _trained(self, seed: int, name: str, split: Split, **fields: object) -> Train:
        """A run of the study's method."""
        recipe = self.recipe or self.edition.recipe(self.method)
        model, pairs = self.model(seed, name), self.pairs(seed)
        fields["replica"] = fields.get("replica", STUDENT) + STREAMS * self.training
        return Train(model=model, pairs=pairs, split=split, method=self.method, recipe=recipe, **fields)

    def weak(self, seed: int, name: str, replica: int = STUDENT) -> Train:
        """The weak supervisor: ground truth, first half."""
        return self._trained(seed, name, "ground_truth", replica=replica)

    def ceiling(self, seed: int, name: str) -> Train:
        """The strong ceiling: ground truth; what the strong model can know."""
        return self._trained(seed, name, self.ceiling_half, replica=CEILING)

    def student(self, seed: int, weak: str, strong: str, condition: str = "none", replica: int | None = None) -> Train:
        """The strong student on the weak supervisor's labels of the second half, under a condition.

        ``replica`` replaces the condition's own random streams.
        """
        c, is_policy = CONDITIONS[condition], self.method != "reward_model"
        run = self._trained(
            seed, strong, "weak_label",
            replies=self.edition.replies if is_policy else 0,
            labels=None if c.gold else self.weak(seed, weak),
            labelling=Labelling() if c.gold else self.labelling,
            conflict=self.conflict(condition),
            replica=c.replica if replica is None else replica,
        )  # fmt: skip
        if self.mitigation is not None and not c.gold:
            run = self._mitigated(run, seed, weak)
        if self.submitted is not None and not c.gold:
            run = self.submitted.of(run)
        if not c.trained:
            run = run.model_copy(update={"recipe": run.recipe.model_copy(update={"epochs": 0}), "labels": None})
        return run

    def _mitigated(self, run: Train, seed: int, weak: str) -> Train:
        m = MITIGATIONS[self.mitigation]
        changes: dict[str, object] = {}
        if m.bootstrap:
            # The intermediate model learns without a conflict: it is the trainer's own.
            labels = {"labels": self.weak(seed, weak), "labelling": self.labelling}
            changes["labels"] = self._trained(seed, self.via, "weak_label", **labels)
        if m.ensemble:
            changes["ensemble"] = tuple(self.weak(seed, weak, replica) for replica in ENSEMBLE)
        if m.tokens:
            oracle = self.oracle(seed, weak) if m.tokens == "oracle" else None
            changes["selection"] = Selection(share=m.share or self.edition.token_share, oracle=oracle)
        return m.of(run.model_copy(update=changes), self.edition.filter_above, self.edition.filter_by)

    def oracle(self, seed: int, weak: str) -> Train:
        """The weak supervisor's policy by DPO, which leaves what each token of the replies has gained."""
        return self.trained_by("dpo").weak(seed, weak).model_copy(update={"tokens": True})

    def reruns(self, seed: int, weak: str, strong: str) -> list[Train]:
        """Students without a conflict that differ in their random streams only, the baseline left out."""
        return [self.student(seed, weak, strong, replica=replica) for replica in (STUDENT, INDEPENDENT)]

    def compared(self, seed: int, weak: str, strong: str, condition: str) -> list[Train]:
        """The five runs behind one comparison: weak, ceiling, baseline, conflict, independent."""
        return list(self._once(self._compared, seed, weak, strong, condition))

    def _compared(self, seed: int, weak: str, strong: str, condition: str) -> list[Train]:
        baseline = CONDITIONS[condition].baseline
        return [
            self.weak(seed, weak),
            self.ceiling(seed, strong),
            self.student(seed, weak, strong, baseline),
            self.student(seed, weak, strong, condition),
            self.student(seed, weak, strong, baseline, replica=INDEPENDENT),
        ]

    def ladder_runs(self) -> list[Run]:
        """Every model of the ladder, as a language model where it is pretrained here, and as a ceiling."""
        e = self.edition
        runs = [run for s in e.seeds for m in e.models for run in (self.model(s, m), self.ceiling(s, m))]
        return [run for run in runs if isinstance(run, Pretrain | Train)]

    def student_runs(self, conditions: Sequence[str] = CORE) -> list[Train]:
        """All that comparing these conditions needs, for every seed and pair of the study."""
        e = self.edition
        cells = [(s, w, m, c) for s in e.seeds for w, m in e.weak_strong for c in conditions]
        return distinct(run for cell in cells for run in self.compared(*cell))

    def on_policy_weak_strong_pairs(self) -> Study:
        """The same study on the edition's policy weak-strong pairs."""
        return self.restricted_to(weak_strong_pairs=self.edition.policy_weak_strong_pairs)

    def policy_options(self) -> dict[str, Study]:
        """DPO ``on_soft_labels`` and, where the edition's DPO does without, ``after_sft``, on the first policy
        weak-strong pair."""
        if "dpo" not in self.edition.methods:
            return {}
        few = self.restricted_to(weak_strong_pairs=self.edition.policy_weak_strong_pairs[:1])
        after_sft = {} if self.edition.dpo.sft_epochs else {"after_sft": few.trained_by("dpo", sft_epochs=1)}
        return {"on_soft_labels": few.trained_by("dpo").with_soft_labels(), **after_sft}

    def on_mitigation_weak_strong_pairs(self) -> Study:
        """The same study on the weak-strong pairs on which mitigations are tried."""
        return self.restricted_to(weak_strong_pairs=self.edition.mitigation_weak_strong_pairs)

    def policy_runs(self) -> list[Train]:
        """Policies by every method of the edition, and DPO's two options."""
        by_method = [self.on_policy_weak_strong_pairs().trained_by(method) for method in self.edition.methods]
        main = [run for study in by_method for run in study.student_runs(POLICY)]
        options = [run for study in self.policy_options().values() for run in study.student_runs(("none", "explicit"))]
        return distinct([*main, *options])

    def guides(self, seed: int, weak: str, strong: str, condition: str) -> list[Train]:
        """Students as small as their supervisor, who guide the strong model in search: without the condition, under it,
        and another without; whatever the strong model is."""
        return self.compared(seed, weak, weak, condition)[2:]

    def search_runs(self) -> list[Train]:
        """Guides of the policy weak-strong pairs' strong models by DPO, and the students to compare search with."""
        by = self.on_policy_weak_strong_pairs().trained_by("dpo")
        pairs = [(s, *pair, c) for s in self.edition.seeds for pair in by.edition.weak_strong for c in CORE]
        return distinct([*by.student_runs(), *(run for cell in pairs for run in by.guides(*cell))])

    def search(self, seed: int, weak: str, strong: str, condition: str) -> Search:
        """What the pretrained strong model writes under a guide that DPO has trained under the condition."""
        guide = self.trained_by("dpo").guides(seed, weak, strong, condition)[1]
        return Search(model=self.model(seed, strong), guide=guide, beams=self.edition.search)

    def written_runs(self) -> list[Run]:
        """All that is written under guides of the policy weak-strong pairs' strong models."""
        pairs = [
            (seed, *pair)
            for seed in self.edition.seeds
            for pair in self.on_policy_weak_strong_pairs().edition.weak_strong
        ]
        return [self.search(*pair, condition) for pair in pairs for condition in CORE]

    def mitigations(self) -> list[str]:
        """The edition's mitigations of reward models.

        An edition that names none and has the chapters on another loss, or on labelling again, has theirs among them.
        """
        names, has = self.edition.mitigations, self.edition.has_chapter
        if names == USUAL:
            names += (REVERSE if has("21") else ()) + (TWO_STAGES if has("30") else ())
        return [name for name in names if name not in TOKENS]

    def mitigated(self) -> list[Study]:
        """One study for each of ``mitigations`` and mitigation weak-strong pairs; bootstrapping has one a way."""
        studies = []
        for pair in self.edition.mitigation_weak_strong_pairs:
            one = self.restricted_to(weak_strong_pairs=[pair])
            for name in self.mitigations():
                ways = one.edition.ways(*one.edition.weak_strong[0]) if MITIGATIONS[name].bootstrap else [None]
                studies += [one.under_mitigation(name, way) for way in ways]
        return studies

    def mitigated_policies(self, method: Method) -> list[Study]:
        """As ``mitigated``, for policies and the mitigations that are tried on them, on pairs of models
        that are policies as well.

        Policies take long: bootstrapping goes through the edition's ``intermediates``, or through the middle one alone
        of all that lie between, where it names none.
        """
        told = self.edition.has_chapter("12")  # else there are no policies to compare with
        both = [
            pair
            for pair in self.edition.mitigation_weak_strong_pairs
            if told and pair in self.edition.policy_weak_strong_pairs
        ]
        studies = []
        for one in (self.restricted_to(weak_strong_pairs=[pair]) for pair in both):
            ways = one.edition.ways(*one.edition.weak_strong[0])
            few = ways if self.edition.intermediates else ways[len(ways) // 2 :][:1]
            mine = FOR_POLICIES + (TOKENS if method == "simpo" else ())
            for name in (name for name in mine if name in self.edition.mitigations):
                through = few if MITIGATIONS[name].bootstrap else [None]
                studies += [one.trained_by(method).under_mitigation(name, way) for way in through]
        return studies

    def mitigation_runs(self) -> list[Train]:
        """Students without and with the explicit conflict under every mitigation; policies, with the implicit one."""
        policies = [study for method in self.edition.methods for study in self.mitigated_policies(method)]
        explicit = [run for study in self.mitigated() for run in study.student_runs(("none", "explicit"))]
        return distinct([*explicit, *(run for study in policies for run in study.student_runs(("none", "implicit")))])

    def challenged(self) -> dict[str, Study]:
        """The book's own entries in the sealed challenge, by name, on all mitigation weak-strong pairs: ``mitigations``
        and, where an edition names none, remedies of its later chapters.  Bootstrapping goes through the middle model
        of all that lie between the first of them."""
        few, names, has = self.on_mitigation_weak_strong_pairs(), self.mitigations(), self.edition.has_chapter
        if self.edition.mitigations == USUAL:
            names += [*(BY_OPINION if has("30") else ()), *(FENCES[1:] if has("29") else ())]
        ways = few.edition.ways(*few.edition.weak_strong[0])
        via = {name: ways[len(ways) // 2 :][:1] if MITIGATIONS[name].bootstrap else (None,) for name in MITIGATIONS}
        return {name: few.under_mitigation(name, *via[name]) for name in names if via[name]}

    def challenge_runs(self) -> list[Train]:
        """No mitigation, the book's entries and the worked submission in the edition's own world, each with a rerun."""
        few = self.on_mitigation_weak_strong_pairs()
        example = few.under_submission(Submitted(EXAMPLE.read_text(encoding="utf-8"), PRACTICE))
        tried = (few, *self.challenged().values(), example)
        return distinct(run for one in tried for run in one.student_runs(("none", "explicit", "rerun")))

    def loss_runs(self) -> list[Train]:
        """Students by cross-entropy and by every reverse loss, without and with the explicit conflict at two doses."""
        few = self.on_mitigation_weak_strong_pairs()
        at = [few.with_parameters(alpha=alpha) for alpha in (self.edition.alpha, LOSS_DOSE)]
        by = [one for few in at for one in (few, *(few.under_mitigation(loss) for loss in REVERSE))]
        return distinct(run for one in by for run in one.student_runs(("none", "explicit", "rerun")))

    def again_runs(self) -> list[Train]:
        """Students without and with the explicit conflict under everything that labels again; reruns of some."""
        few = self.on_mitigation_weak_strong_pairs()
        tried = [few, *(few.under_mitigation(name) for name in ("filter", *AGAIN))]
        again = [few, *(few.under_mitigation(name) for name in AGAIN_WITH_RERUN)]
        main = [run for one in tried for run in one.student_runs(("none", "explicit"))]
        return distinct([*main, *(run for one in again for run in one.student_runs(("rerun",)))])

    def token_runs(self) -> list[Train]:
        """Policies by SimPO that learn from all tokens, from chosen and from random ones, without and with the explicit
        conflict, each with a rerun; and the oracles."""
        few = self.on_policy_weak_strong_pairs().trained_by("simpo")
        tried = (few, *(few.under_mitigation(name) for name in TOKENS))
        main = [run for one in tried for run in one.student_runs(("none", "explicit", "rerun"))]
        cells = [(seed, weak) for seed in few.edition.seeds for weak, _ in few.edition.weak_strong]
        return distinct([*main, *(few.oracle(*cell) for cell in cells)])

    def turn_runs(self) -> list[Train]:
        """Students who learn two aims in turn, on the mitigation weak-strong pairs, if the edition ``takes_turns``."""
        few = self.on_mitigation_weak_strong_pairs()
        return few.student_runs(tuple(TURNS)) if self.takes_turns else []

    def fence_runs(self) -> list[Train]:
        """Students under the confidence loss with either fence, without and with the explicit conflict, and a rerun."""
        few = self.on_mitigation_weak_strong_pairs()
        tried = [few.under_mitigation(name) for name in FENCES]
        return distinct(run for one in tried for run in one.student_runs(("none", "explicit", "rerun")))

    @property
    def takes_turns(self) -> bool:
        """Whether two aims can be learned in turn: in a world, by whole models that read pairs in no order of their own
        and do not stop early, on some mitigation weak-strong pair."""
        e, recipe = self.edition, self.edition.recipe("reward_model")
        plain = (recipe.patience, recipe.frozen, recipe.order) == (None, False, "reshuffled")
        return e.data == WORLD and plain and bool(e.mitigation_weak_strong_pairs)

    def judgement(self, seed: int, weak: str, strong: str) -> Judgement:
        """What a real model's policies of this method reply under ``REPLIED``, and it before; the edition's judge, or
        else the same model, is a reward model that has learnt from ground truth of the supervisor's half."""
        policies = tuple(self.student(seed, weak, strong, condition) for condition in REPLIED)
        judge = self.trained_by("reward_model").weak(seed, self.edition.judge or strong)
        return Judgement(policies=policies, judge=judge)

    def judgements(self) -> list[Judgement]:
        """One for each method, seed and policy weak-strong pair of an edition that asks for ``replies``."""
        few = self.on_policy_weak_strong_pairs()
        cells = [(seed, *pair) for seed in few.edition.seeds for pair in few.edition.weak_strong]
        by_method = [few.trained_by(method) for method in few.edition.methods] if few.edition.replies else []
        return [by.judgement(*cell) for by in by_method for cell in cells]

    def society(
        self, seed: int, weak: str, strong: str, condition: str, variant: str = "macpo", replica: int | None = None
    ) -> Society:
        """Weak agents and a strong one that teach each other, under a condition; ``variant``: of ``VARIANTS``.

        ``replica`` replaces the condition's own random streams."""
        e, c = self.edition, CONDITIONS[condition]
        return Society(**{
            "weak": self.model(seed, weak), "model": self.model(seed, strong), "pairs": self.pairs(seed),
            "agents": e.agents, "rounds": e.rounds, "prompts": round(PROMPTS * e.train_pairs),
            "recipe": e.recipe("dpo").model_copy(update=SOCIETY), "conflict": self.conflict(condition),
            "replica": (c.replica if replica is None else replica) + STREAMS * self.training,
        } | VARIANTS[variant])  # fmt: skip

    def societies(self, seed: int, weak: str, strong: str, condition: str) -> list[Society]:
        """Three societies behind one comparison: without the condition, under it, and another one without."""
        of = lambda condition, **replica: self.society(seed, weak, strong, condition, **replica)
        return [of("none"), of(condition), of("none", replica=INDEPENDENT)]

    def society_runs(self) -> list[Run]:
        """Societies of the first policy weak-strong pair, their controls, and the strong agent's ceiling by DPO."""
        few, runs = self.restricted_to(weak_strong_pairs=self.edition.policy_weak_strong_pairs[:1]), []
        for cell in ((s, *pair) for s in few.edition.seeds for pair in few.edition.weak_strong):
            runs.append(few.trained_by("dpo").ceiling(cell[0], cell[2]))
            runs += [run for condition in COMPARED for run in few.societies(*cell, condition)]
            runs += [few.society(*cell, c, variant) for variant in VARIANTS for c in ("none", "explicit")]
        return distinct(runs)

    def like_real_texts(self) -> dict[tuple[str, str], Study]:
        """The world as it is, and with what real texts have: noisy labels, linear heads on frozen features, and both;
        on the control weak-strong pairs, by the columns ``labels`` and ``method`` of their results.

        Where a label is noise in ν of all cases, nobody can be surer of it than 1 − ν: who would know a clean label
        with T knows a noisy one with (1 − ν) T + ν (1 − T)."""
        few, t = self.on_control_weak_strong_pairs(), self.edition.threshold
        noisy = few.with_parameters(label_noise=NOISE, threshold=(1 - NOISE) * t + NOISE * (1 - t))
        whole = {("", "reward_model"): few, ("noisy", "reward_model"): noisy}
        heads = {(labels, "frozen_head"): one.trained_by("reward_model", **HEAD) for (labels, _), one in whole.items()}
        return whole | heads

    def bridge_runs(self) -> list[Train]:
        """The explicit conflict and a rerun in each of these."""
        return distinct(run for one in self.like_real_texts().values() for run in one.student_runs(COMPARED))

    def dose_runs(self) -> list[Train]:
        """The explicit conflict at every alpha of the edition, on weak and gold labels, control weak-strong pairs."""
        at = [self.on_control_weak_strong_pairs().with_parameters(alpha=alpha) for alpha in self.edition.alphas]
        return distinct(run for study in at for run in study.student_runs(("explicit", "gold_explicit")))

    def runs(self) -> list[Run]:
        """Everything that the edition's chapters need."""
        few, has = self.on_control_weak_strong_pairs(), self.edition.has_chapter
        return distinct([
            *self.ladder_runs(),
            *self.student_runs(),
            *(few.student_runs(CONTROLS) if has("07") else ()),
            *(few.with_parameters(alpha=ABOVE_ONE).student_runs(("gold_explicit",)) if has("07") else ()),
            *(replace(few, ceiling_half="ground_truth").student_runs() if has("07") or has("17") else ()),
            *(self.student_runs(BESIDE_THE_CORE.get(self.edition.name, ())) if has("15") else ()),
            *(self.dose_runs() if has("08") else ()),
            *(few.aiming_at("honesty").student_runs() if has("10") else ()),
            *(self.policy_runs() if has("12") else ()),
            *(self.mitigation_runs() if has("13") else ()),
            *(self.challenge_runs() if has("26") else ()),
            *(self.loss_runs() if has("21") else ()),
            *((*self.search_runs(), *self.written_runs()) if has("23") else ()),
            *(self.again_runs() if has("30") else ()),
            *(self.token_runs() if has("31") else ()),
            *(self.bridge_runs() if has("25") else ()),
            *((*self.turn_runs(), *self.fence_runs()) if has("29") else ()),
            *(self.society_runs() if has("32") else ()),
            *(self.judgements() if has("15") else ()),
        ])  # fmt: skip

    def clusters(self, seed: int, on: Split = "test") -> np.ndarray:
        """The cluster (substance, task or prompt) of each test pair, or each pair of another split, shape (pairs,)."""
        return self.lab.pairs(self.pairs(seed), on)["cluster"].to_numpy()

    def comparison(self, seed: int, weak: str, strong: str, condition: str, on: Split = "test") -> Comparison:
        """Probabilities of the true order by the five runs, on test or ``weak_label`` pairs; trains what is missing."""
        scores = self.probabilities(self.compared(seed, weak, strong, condition), on)
        return Comparison(*scores, threshold=self.edition.threshold, alpha=self.edition.alpha)

    def probabilities(self, runs: Sequence[Train], on: Split = "test") -> list[np.ndarray]:
        """Each run's probabilities of the true order, all in the order of the pairs; trains what is missing."""
        assert len({run.pairs for run in runs}) == 1, "runs of different pairs have no order in common"
        self.lab.run([run for run in runs if (run, on) not in self._asked])
        return [self._once(self._probabilities, run, on) for run in runs]

    def _probabilities(self, run: Train, on: Split) -> np.ndarray:
        frame, ids = self.lab.scores(run, on), self.lab.pairs(run.pairs, on)["pair_id"]
        assert frame["pair_id"].tolist() == ids.tolist(), "scores are not in the order of the pairs"
        return frame["p_true"].to_numpy()

    def names(self, condition: str) -> dict[str, str]:
        """What results call a student of this study: columns of ``results.NAMES``, empty where it is as usual."""
        is_policy = self.method != "reward_model"
        more_sft = is_policy and self.recipe.sft_epochs > self.edition.recipe(self.method).sft_epochs
        return {
            "method": self.method,
            "condition": condition,
            "objective": "" if self.objective == "harmlessness" else self.objective,
            "mitigation": self.mitigation or "",
            "via": self.via or "",
            "labels": "soft" if is_policy and not self.labelling.hard else "",
            "sft": "after" if more_sft else "",
        }
