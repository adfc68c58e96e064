"""A search for hyper-parameters: an Optuna study asked in batches, its trials trained as lanes, some pruned on short ones.

The study lives in memory and is a function of the outcomes told, so a killed search that is run again asks the same trials
and takes their lanes from the store. What it saw is handed out as `finished()` for a study that is kept.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from etastar.core.design import Plan
from etastar.core.lane import Criterion, Lane, Outcome, Runs, Until, quantise
from etastar.core.numerics import steady_numerics
from etastar.core.randomness import derive_seed, isolated_randomness, seed_everything
from etastar.designs.search.optuna_samplers import (
    SECOND,
    SamplerSetting,
    distribution,
    grid,
    make_pruner,
    make_sampler,
    needs_second,
    rungs,
    usual_batch,
)
from etastar.designs.search.search_space import Space
from etastar.designs.search.trials import Found, Trial, objective, on_edge
from etastar.policies.compose import squeezed
from etastar.policies.named import policy_over
from etastar.policies.policy import Policy
from etastar.store.optuna_study import TRIAL, quiet_optuna

SMALL = 1e-9
"""Losses this small a share of the first one and smaller are told apart on a linear scale."""
WIDEN, WIDENINGS = 1.0, 2
"""Decades by which a range of ours is widened, and how often."""
NEW_POINTS = 4
"""Rates tried first in a decade that was added: a sampler alone would leave where it knows its way too slowly."""


class OptunaSearch:
    """A `Design` around an Optuna study.

    Args:
        space: what is searched; it has "lr". "schedule" is the lanes' policy; all else goes into their settings.
        criterion: when a lane has started to train; decides what counts as diverged.
        steps: the horizon.
        policy: the schedule where the space has none.
        sampler, pruner: names of `SAMPLERS`, `PRUNERS`.
        trials: how many.
        batch: trials asked together; default `usual_batch`.
        seeds: lanes per trial, the same seeds for every trial.
        seed: of lanes and sampler.
        enqueued: parameters to try first; missing ones are drawn.
        widen: whether the range of the rate may be widened when the best trial lies on its edge.
        on_finished: called with Optuna's frozen trials of each batch.
    """

    def __init__(
        self,
        space: Space,
        criterion: Criterion,
        steps: int,
        policy: Policy,
        *,
        sampler: str = "tpe",
        pruner: str = "none",
        trials: int = 64,
        batch: int | None = None,
        seeds: int = 1,
        seed: int = 0,
        enqueued: Sequence[Mapping[str, Any]] = (),
        widen: bool = False,
        on_finished: Callable[[Sequence[Any]], None] | None = None,
    ) -> None:
        self.space, self.criterion, self.steps, self.policy = space, criterion, steps, policy
        self.sampler, self.pruner, self.seeds, self.seed = sampler, pruner, seeds, seed
        self._grid = grid(space, trials) if sampler == "grid" else []
        self.trials = len(self._grid) or trials
        self.batch = min(batch or usual_batch(sampler, self.trials, pruner), self.trials)
        self._widen = widen and sampler != "grid"
        self.on_finished = on_finished
        self._rungs = rungs(pruner, steps)
        self._told: list[Trial] = []
        self._asked: list[tuple[Any, Trial]] = []
        self._alive: list[tuple[Any, Trial]] = []
        self._rung = self._widenings = 0
        self._first_loss = math.nan
        self._stopped: str | None = None
        self._enqueued = self._grid or [dict(p) for p in enqueued]
        self._study: Any = None

    # -- Design ------------------------------------------------------------------------------------------------------

    def planned(self) -> Plan:
        """Every trial through all rungs."""
        lanes = self.trials * self.seeds
        return Plan(lanes * len(self._rungs), lanes * sum(self._rungs))

    def ask(self) -> Sequence[Lane]:
        """A batch of trials at their first rung, then those that are left at the next; empty at the end."""
        if self._stopped:
            return []
        if not self._alive:
            n = min(self.batch, self.trials - len(self._told))
            if n <= 0:
                return []
            with _calm(self.seed, len(self._told)) as optuna:
                self._ask_trials(optuna, n)
        return [self._lane(trial, i) for _, trial in self._alive for i in range(self.seeds)]

    def tell(self, outcomes: Runs) -> None:
        """Outcomes of the last batch: losses, then who is pruned, then the trials that are over."""
        if math.isnan(self._first_loss):
            self._first_loss = next(filter(math.isfinite, (o.start_loss for o in outcomes)), math.nan)
        with _calm(self.seed, len(self._told)) as optuna:
            for i, (_, trial) in enumerate(self._alive):
                self._note(trial, outcomes[i * self.seeds : (i + 1) * self.seeds])
            self._rung += 1
            self._alive = self._survivors()
            if not self._alive:
                self._finish(optuna)

    def stop(self, flag: str) -> None:
        """End now; trials under way are left out."""
        self._stopped = flag

    def answer(self) -> Found:
        """What the trials told so far carry."""
        return Found(tuple(self._told), self.space, self._first_loss, self._widenings, self._stopped, self._importance())

    # -- asking ------------------------------------------------------------------------------------------------------

    def _ask_trials(self, optuna: Any, n: int) -> None:
        if self._study is None:
            self._study = self._new_study(optuna)
            for params in self._enqueued:
                self._study.enqueue_trial(params)
        space = {p.name: distribution(optuna, p) for p in self.space}
        if self.sampler == "cmaes" and needs_second(self.space):
            space[SECOND] = optuna.distributions.FloatDistribution(0.0, 1.0)
        asked = [self._study.ask(space) for _ in range(n)]
        self._rung = 0
        self._asked = self._alive = [(own, self._trial(own)) for own in asked]

    def _new_study(self, optuna: Any) -> Any:
        start = self._enqueued[0] if self._enqueued else {}
        seed = derive_seed(self.seed, "sampler", self._widenings) % 2**32
        sampler = make_sampler(optuna, self.sampler, SamplerSetting(self.space, self.batch, seed, start))
        pruner = make_pruner(optuna, self.pruner, self.steps, self.batch)
        return optuna.create_study(sampler=sampler, pruner=pruner, study_name=f"{self.sampler}-{self.seed}")

    def _trial(self, own: Any) -> Trial:
        params = {p.name: own.params[p.name] for p in self.space}
        return Trial(own.number, params, quantise(float(params["lr"])))

    def _lane(self, trial: Trial, index: int) -> Lane:
        """A rung's lane runs the whole schedule, squeezed: what is good for a short prefix of it is too high a rate."""
        return self.lane_of(trial, derive_seed(self.seed, "lane", index), self._rungs[self._rung])

    def lane_of(self, trial: Trial, seed: int, steps: int | None = None) -> Lane:
        """The lane of a trial's settings on a seed, over the whole schedule unless told otherwise."""
        steps = self.steps if steps is None else steps
        given = trial.params.get("schedule")
        policy = self.policy if given is None else policy_over(given, self.steps)
        settings = tuple((k, v) for k, v in trial.params.items() if k not in ("lr", "schedule"))
        return Lane(trial.lr, seed, steps, self.criterion, Until.END, squeezed(policy, steps), settings)

    # -- telling -----------------------------------------------------------------------------------------------------

    def _note(self, trial: Trial, outcomes: Sequence[Outcome]) -> None:
        trial.losses = tuple(objective(o, self._first_loss) for o in outcomes)
        trial.loss = statistics.fmean(trial.losses)
        trial.diverged = sum(o.scored_loss is None for o in outcomes)
        trial.steps += sum(o.spent for o in outcomes)
        trial.rungs.append((self._rungs[self._rung], trial.loss))

    def _survivors(self) -> list[tuple[Any, Trial]]:
        """The trials that train on, all of them reported before the first is judged; none after the last rung."""
        if self._rung >= len(self._rungs):
            return []
        for own, trial in self._alive:
            own.report(self._score(trial), self._rungs[self._rung - 1])
        left = []
        for own, trial in self._alive:
            if own.should_prune():
                trial.state = "pruned"
            else:
                left.append((own, trial))
        return left

    def _finish(self, optuna: Any) -> None:
        """Tell the study the whole batch in the order asked."""
        finished = []
        for own, trial in self._asked:
            if trial.state == "pruned":
                self._study.tell(own, state=optuna.trial.TrialState.PRUNED)
            else:
                trial.state = "complete"
                self._study.tell(own, self._score(trial))
            self._told.append(trial)
            finished.append(self._freeze(optuna, trial))
        self._asked = []
        if self.on_finished:
            self.on_finished(finished)
        if self._widen and self._widenings < WIDENINGS and len(self._told) < self.trials:
            self._look_at_edge(optuna)

    def _score(self, trial: Trial) -> float:
        """What the sampler is told: the loss on a scale that is logarithmic almost everywhere; every order is kept."""
        assert trial.loss is not None
        unit = abs(self._first_loss) if math.isfinite(self._first_loss) else 0.0
        return math.asinh(trial.loss / (SMALL * (unit or 1.0)))

    def _freeze(self, optuna: Any, trial: Trial) -> Any:
        states = optuna.trial.TrialState
        complete = trial.state == "complete"
        return optuna.create_trial(
            state=states.COMPLETE if complete else states.PRUNED,
            value=trial.loss,
            params=trial.params,
            distributions={p.name: distribution(optuna, p) for p in self.space},
            intermediate_values=dict(trial.rungs if not complete else trial.rungs[:-1]),
            user_attrs={
                TRIAL: trial.number,
                "losses": list(trial.losses),
                "diverged": trial.diverged,
                "gradient_steps": trial.steps,
            },
        )

    # -- the edge ----------------------------------------------------------------------------------------------------

    def _look_at_edge(self, optuna: Any) -> None:
        """Where the best rate lies on an edge of the range, make the range longer and go on with all trials told.

        Where every trial diverged, the lower edge is the best.
        """
        best = min((t for t in self._told if t.trained), key=lambda t: t.loss or 0.0, default=None)
        side = -1 if best is None else on_edge(self.space, best.lr)
        if not side:
            return
        self.space = self.space.widened(up=side > 0, decades=WIDEN)
        self._widenings += 1
        self._move_study(optuna)
        lr, others = self.space["lr"], {k: v for k, v in (best.params if best else {}).items() if k != "lr"}
        end = (lr.high if side > 0 else lr.low) or math.nan
        for i in range(min(NEW_POINTS, self.trials - len(self._told))):
            self._study.enqueue_trial({"lr": end * 10 ** (-side * WIDEN * i / NEW_POINTS), **others})

    def _move_study(self, optuna: Any) -> None:
        """The same trials in a new study whose range of rates is the wider one, with a new sampler."""
        old = self._study.get_trials(deepcopy=False)
        self._study = self._new_study(optuna)
        wider = distribution(optuna, self.space["lr"])
        for trial in old:
            if trial.state is optuna.trial.TrialState.WAITING:
                self._study.enqueue_trial(trial.system_attrs["fixed_params"])
                continue
            self._study.add_trial(
                optuna.create_trial(
                    state=trial.state,
                    value=trial.value,
                    params=trial.params,
                    distributions={**trial.distributions, "lr": wider},
                    intermediate_values=trial.intermediate_values,
                    system_attrs={k: v for k, v in trial.system_attrs.items() if not k.startswith("cma")},
                )
            )

    def _importance(self) -> dict[str, float] | None:
        """PED-ANOVA over the trials that ran to their end; None with one parameter or few trials."""
        complete = [t for t in self._told if t.state == "complete"]
        if len(self.space) < 2 or len(complete) < 16 or len({t.loss for t in complete}) < 2:
            return None
        with _calm(self.seed, len(self._told)) as optuna:
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            found = optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        return {name: value for name, value in found.items() if name != SECOND and math.isfinite(value)}


@contextmanager
def _calm(*draws: int) -> Iterator[Any]:
    """Quiet Optuna, on one thread, with random state of its own (its Gaussian process is torch)."""
    with isolated_randomness(), steady_numerics(), quiet_optuna() as optuna:
        seed_everything(derive_seed("optuna", *draws))
        yield optuna
