"""`optuna_space`: a measured interval of the rate as the prior of somebody else's search, in Optuna or Ray Tune."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from etastar.designs.search.optuna_samplers import distribution
from etastar.designs.search.search_space import Parameter
from etastar.errors import MissingExtra, NoAnswer, ProblemError
from etastar.store.optuna_study import import_optuna, quiet_optuna
from etastar.verbs.find.find_answer import FindAnswer
from etastar.verbs.search.prior import Prior, measured
from etastar.verbs.search.search_answer import SearchAnswer


@dataclass(frozen=True)
class OptunaSpace:
    """A logarithmic range of rates around a measured interval, and the rates to try first.

    Args:
        prior: the range and those rates.
        name: of the hyper-parameter in the user's search.

    >>> from etastar.core.estimate import Estimate
    >>> prior = measured(Estimate(0.08, 0.02, 0.3), None)
    >>> OptunaSpace(prior).distributions
    {'lr': FloatDistribution(high=3.0, log=True, low=0.002, step=None)}
    """

    prior: Prior
    name: str = "lr"

    @property
    def low(self) -> float:
        """The lowest rate."""
        return self.prior.low

    @property
    def high(self) -> float:
        """The highest rate."""
        return self.prior.high

    @property
    def distributions(self) -> dict[str, Any]:
        """For `study.ask(space.distributions)`."""
        return {self.name: distribution(import_optuna(), Parameter(self.name, self.low, self.high, log=True))}

    def suggest(self, trial: Any) -> float:
        """The rate of `trial`, inside a user's objective."""
        return trial.suggest_float(self.name, self.low, self.high, log=True)

    def enqueue(self, study: Any, **others: Any) -> None:
        """Let `study` try the measured rates first, with `others` as its other parameters; once, if told twice."""
        with quiet_optuna():
            for lr in self.prior.first:
                study.enqueue_trial({self.name: lr, **others}, skip_if_exists=True)

    def ray(self) -> dict[str, Any]:
        """For `ray.tune.Tuner(..., param_space=space.ray())`.

        Raises:
            MissingExtra: Ray Tune is not installed.
        """
        try:
            tune = import_module("ray.tune")
        except ImportError as error:
            raise MissingExtra("Ray Tune cannot be imported; pip install 'ray[tune]'") from error
        return {self.name: tune.loguniform(self.low, self.high)}

    def ray_first(self) -> list[Mapping[str, float]]:
        """For `points_to_evaluate` of a Ray Tune search algorithm."""
        return [{self.name: lr} for lr in self.prior.first]


def optuna_space(answer: FindAnswer | SearchAnswer, name: str = "lr") -> OptunaSpace:
    """The measured interval as a prior: a decade to either side of it, cut at three eta*; its best rate and ends come first.

    Args:
        answer: of `find` or `search`.
        name: what the user's search calls the rate.

    Raises:
        NoAnswer: the answer has no rate.
    """
    if not isinstance(answer, (FindAnswer, SearchAnswer)):
        raise ProblemError(f"got a {type(answer).__name__}; expected what etastar.find or etastar.search returned")
    prior = measured(answer.lr, answer.eta_star)
    if prior is None:
        raise NoAnswer(answer.lr)
    return OptunaSpace(prior, name)
