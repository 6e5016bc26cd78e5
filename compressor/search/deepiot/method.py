"""``deepiot``: a network that looks at the weights learns which channels can go (Yao et al., SenSys 2017).

docs/how-compression-works.md says how it goes, and what differs from the paper.
"""

from __future__ import annotations

from typing import ClassVar

from compressor.search.base import SearchMethod, SearchProblem
from compressor.search.deepiot.options import Rates, ThresholdSchedule
from compressor.search.deepiot.trajectory import Steering, Trajectory
from profiler.errors import UsageError


class DeepIoT(SearchMethod):
    """Prunes what a compressor network, trained by REINFORCE, finds dispensable.

    Parameters
    ----------
    iterations
        In a step of the threshold: each trains the critic once and the compressor once. With a deadline
        there are fewer, as many as fit.
    steps, final_threshold
        The threshold rises from 0 to `final_threshold` in so many steps.
    shrink
        Beyond the last threshold: the share of the cost that a further step takes away.
    margin
        Under a limit on the score the walk ends after so many candidates in a row that miss it: two, or six where
        they miss it by no more than this. (Scores are seen on few rows; a walk that ends at the first unlucky one
        ends far too early.)
    rates
        Other values than the defaults of `compressor.search.deepiot.options.Rates`, by name.
    """

    name: ClassVar[str] = "deepiot"
    on_edges: ClassVar[bool] = False
    trains: ClassVar[bool] = True

    def __init__(
        self,
        iterations: int = 25,
        steps: int = 33,
        final_threshold: float = 0.825,
        shrink: float = 0.2,
        margin: float = 0.01,
        **rates: float,
    ) -> None:
        self.schedule = ThresholdSchedule(iterations, steps, final_threshold, shrink, margin)
        try:
            self.rates = Rates(**rates)  # type: ignore[arg-type]
        except TypeError as error:
            raise UsageError(f"{self.name} has no such parameter ({error}).") from error

    def search(self, problem: SearchProblem) -> None:
        """See `SearchMethod.search`."""
        Trajectory(self.name, self.schedule, self.rates, self.steering(problem), problem).go()

    def steering(self, problem: SearchProblem) -> Steering:
        """What a search is steered by beside the loss."""
        return Steering(problem)
