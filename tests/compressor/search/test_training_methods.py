"""Methods that train the network themselves, through the suite on a tiny Keras task."""

import numpy as np
import pytest

from compressor.costs import Configuration, narrowest, scaled
from compressor.graph import build_graph
from compressor.search import METHODS, Candidate, Goal, SearchMethod, get_method
from compressor.testing.keras_task import bars, bars_network, bars_prepared, check_candidate, keras_bench
from compressor.testing.methods import CHECKS, Case, check_method
from compressor.training import Schedule, strongest

FEW = {
    "deepiot": {"iterations": 1, "steps": 3, "batch_size": 16},
    "fastdeepiot": {"iterations": 1, "steps": 3, "batch_size": 16},
    "netadapt": {"share": 0.25, "candidates": 1, "rows": 32},
}
"""Options of methods that train, so that they take seconds."""

TRAINING = sorted(name for name in METHODS if get_method(name).trains)


class Shrinking(SearchMethod):
    """Cuts the network step by step, training it on in between."""

    name = "shrinking"
    trains = True

    def search(self, problem):
        prepared = problem.context
        for step in range(1, 13, 3):
            problem.check_time()
            smaller = scaled(problem.full, 1 - step / 12)
            if problem.budget is not None and problem.cost.exact(smaller) > problem.budget and step < 10:
                continue
            trial = self.attempt(problem, prepared, smaller, step)
            if problem.budget is not None or trial.score < problem.least_score:
                return

    def attempt(self, problem, prepared, smaller, step):
        keep = strongest(problem.importance, smaller.widths)
        model = prepared.build(smaller)
        prepared.tuner.fit(model, Schedule(epochs=1, batch_size=16, most_rows=16), problem.seed)
        return problem.try_configuration(smaller, keep, model, f"candidates/{step}.keras")


@pytest.mark.parametrize("name", TRAINING)
def test_every_method_that_trains_passes_the_suite(name, tmp_path):
    assert name in FEW, "give it few steps here"
    check_method(lambda: get_method(name, **FEW[name]), tmp_path)


def test_a_sound_method_passes(tmp_path):
    check_method(Shrinking, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda smaller, keep, model: (smaller, keep, bars_network()), "the network has widths"),
        (lambda smaller, keep, model: (smaller, {**keep, "first": [0, 1]}, model), "2 channels of 'first'"),
        (
            lambda smaller, keep, model: (smaller, {**keep, "third": keep["third"][::-1]}, model),
            "not ascending",
        ),
    ],
)
def test_found_by_search_networks_that_do_not_fit(change, message, tmp_path):
    class Careless(Shrinking):
        def attempt(self, problem, prepared, smaller, step):
            keep = strongest(problem.importance, smaller.widths)
            wrong = change(smaller, keep, prepared.build(smaller))
            return problem.try_configuration(*wrong, f"candidates/{step}.keras")

    with pytest.raises(AssertionError, match=message):
        CHECKS["search"](Case(Careless, tmp_path, keras_bench()))


def test_found_by_training_a_file_of_another_network(tmp_path):
    class Mixing(Shrinking):
        def attempt(self, problem, prepared, smaller, step):
            trial = super().attempt(problem, prepared, smaller, step)
            prepared.model.save(problem.folder / f"candidates/{step}.keras")
            return trial

    with pytest.raises(AssertionError, match="the best candidate's network has widths"):
        CHECKS["training"](Case(Mixing, tmp_path, keras_bench()))


def test_a_named_file_must_be_there(tmp_path):
    candidate = Candidate(
        Configuration({"first": 12, "second": 16, "third": 16}), None, "candidates/none.keras"
    )
    with pytest.raises(AssertionError, match="is not in the folder"):
        check_candidate(candidate, tmp_path)


def test_the_task_is_learned_and_the_device_has_steps():
    prepared = bars_prepared()
    assert prepared.original.score > 0.7
    assert build_graph(prepared.model).widths == {"first": 12, "second": 16, "third": 16}
    full = prepared.original.configuration
    nine, eight = (prepared.times(full.with_widths({"second": width})) for width in (9, 8))
    assert nine > eight * 1.05
    flops = keras_bench().flops
    steps = np.diff(flops.by_width(full, "second", range(6, 12)))
    assert steps == pytest.approx([steps[0]] * 5)
    x, y = bars(6, 0)
    assert x.shape == (6, 8, 8, 1)
    assert y.tolist() == [0, 1, 2, 0, 1, 2]


def test_a_budget_below_the_least_is_missed_by_little():
    bench = keras_bench()
    assert bench.between(0.0) == pytest.approx(bench.times.exact(narrowest(bench.full)))
    problem = bench.problem(Goal(budget_ms=bench.between(0.5)))
    assert problem.context is bars_prepared()
