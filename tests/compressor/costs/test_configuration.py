"""What a search chooses: immutable, equal by value, and open to further dimensions."""

import json
from dataclasses import replace

import pytest

from compressor.costs import CandidateCost, Configuration
from compressor.search import Goal, Trial, get_method
from compressor.testing.workbench import WIDTHS, StaircaseTimes, synthetic

FULL = Configuration({"a": 8, "b": 3})


def test_equal_configurations_are_one_key():
    same = Configuration({"b": 3, "a": 8})
    assert same == FULL
    assert {FULL: 1}[same] == 1
    assert same.key == FULL.key
    narrower = FULL.with_widths({"a": 7})
    assert narrower != FULL
    assert narrower.key != FULL.key
    assert narrower.widths == {"a": 7, "b": 3}
    assert FULL != {"a": 8, "b": 3}


def test_nothing_changes_a_configuration():
    given = {"a": 8}
    configuration = Configuration(given)
    given["a"] = 1
    assert configuration.widths == {"a": 8}
    with pytest.raises(TypeError):
        configuration.widths["a"] = 1
    with pytest.raises(AttributeError):
        configuration.widths = given


def test_a_configuration_survives_json():
    assert Configuration.from_dict(json.loads(json.dumps(FULL.to_dict()))) == FULL


def test_an_unknown_dimension_is_refused():
    with pytest.raises(TypeError, match="has no bits: it has widths"):
        Configuration.from_dict({"widths": {"a": 8}, "bits": {"a": 4}})


@pytest.fixture
def bits(monkeypatch):
    """One more dimension, added as `Configuration` says: bits of each group's weights."""
    monkeypatch.setattr(Configuration, "DIMENSIONS", ("widths", "bits"))
    bits = property(lambda configuration: configuration._choices["bits"])
    monkeypatch.setattr(Configuration, "bits", bits, raising=False)


class BitTimes(CandidateCost):
    """Time on a device on which 4 bits are twice as fast as 8: it reads both dimensions."""

    cheap = True

    def exact(self, configuration):
        share = sum(configuration.bits.values()) / (8 * len(configuration.bits))
        return share * StaircaseTimes().exact(configuration)


@pytest.mark.usefixtures("bits")
def test_a_further_dimension_is_a_part_of_a_configuration():
    eight, four = (Configuration({"a": 8}, bits={"a": bits}) for bits in (8, 4))
    assert eight != four
    assert len({eight, four}) == 2
    assert eight.key != four.key
    assert eight.with_widths({"a": 2}).bits == {"a": 8}
    assert Configuration.from_dict(json.loads(json.dumps(four.to_dict()))) == four
    assert Configuration({"a": 8}).to_dict() == {"widths": {"a": 8}}


@pytest.mark.usefixtures("bits")
@pytest.mark.parametrize("name", ["importance", "knapsack", "optuna", "uniform", "uniform-snapped"])
def test_methods_search_widths_unchanged_where_there_is_a_further_dimension(name):
    options = {"trials": 3, "proxy_trials": 5} if name == "optuna" else {}
    full = Configuration(WIDTHS, bits=dict.fromkeys(WIDTHS, 4))
    bench = synthetic()
    plain, wider = (bench.problem(Goal(budget_ms=0.4 * StaircaseTimes()(bench.full))) for _ in range(2))
    wider.cost, wider.budget = BitTimes(), plain.budget / 2
    wider.original = Trial(full, replace(plain.original.costs), 1.0, 0.0)
    assert get_method(name, **options).run(plain)
    found = get_method(name, **options).run(wider)
    assert [trial.widths for trial in found] == [trial.widths for trial in plain.best()]
    for trial in found:
        assert trial.configuration.bits == full.bits
        assert BitTimes().exact(trial.configuration) <= wider.budget
