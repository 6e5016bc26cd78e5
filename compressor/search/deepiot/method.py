"""``deepiot``: a network that looks at the weights learns which channels can go (Yao et al., SenSys 2017).

The compressor says for each channel how likely it is kept (`compressor.search.deepiot.keep_network`). Masks drawn from these
probabilities, one per sample and channel, switch the channels of the network that is compressed (the critic,
a `compressor.search.deepiot.twin.MaskedTwin`) while both train in turns: the critic to answer well under the masks, the
compressor by REINFORCE to draw masks under which it does. A threshold rises step by step; what is below it is
drawn half as often, and is gone in the network that is fine-tuned. Widths come from the threshold alone.

As in the paper and its authors' code: the compressor (bilinear summary, LSTM of 64 units, linear layer and
sigmoid, one mask for layers that share their channels), the mask ``floor(p + U)``, the multiplication by p at
inference, the loss and its baseline (moving averages with a decay of 0.9, the deviation not below 1), both
optimisers, the L2 penalty, the threshold's way (0 to 0.825 in 33 steps) and halving below it.

Otherwise here: the steps of the threshold are shorter (`iterations` in place of 500), at higher rates and with the
original as the critic's teacher (`compressor.search.deepiot.options`). Of layers that share
their channels the first one's weights are looked at. Masks act where channels are read, so that what is
removed and what is masked by 0 are the same; of layers other than convolutions, dense and recurrent ones all
samples of a batch share one mask. The batches and the details of the summary are ours. Where a budget lies
within a step of the threshold, the threshold goes just so far that it is met. Where the last threshold is too
low for it, the search goes on: each further step takes a share `shrink` of the cost away, by narrowing all
groups by the same factor, the least likely channels first, and what has gone is not drawn any more. (On small
networks all probabilities come close to 1. Thresholds among them would take whole layers away: halved and
still half alive in training, these are missed only once they are cut.) The multiplication by p becomes part
of the weights that fine-tuning goes on from, and fine-tuning is that of every other method.
"""

from __future__ import annotations

from typing import ClassVar

from compressor.search.base import SearchMethod, SearchProblem
from compressor.search.deepiot.options import Rates, ThresholdSchedule
from compressor.search.deepiot.steering import Steering
from compressor.search.deepiot.trajectory import Trajectory
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
