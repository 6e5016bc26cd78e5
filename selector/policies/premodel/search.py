"""The search for a premodel: features, networks, classifiers and structure, all by cross-validation of the policy's own goal."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.progress import ProgressCallback, silent
from selector.candidates import Answers
from selector.policies.premodel.classifiers import FITTED, fit_classifier
from selector.policies.premodel.feature_choice import MOST_FEATURES, ChosenFeatures, choose_features, cost_ms
from selector.policies.premodel.labels import RULES, cheapest_right, included_networks
from selector.policies.stages import best_single, mean_and_error
from selector.runtime.premodel import Premodel, classify, features_of, kind_of, names_of

_TIMED_ROWS = 256


@dataclass(frozen=True)
class PremodelSettings:
    """How wide the search for a premodel is.

    Parameters
    ----------
    theta
        Least gain of a further network, as a share of the rows: half a point as published.
    rules
        How the next network is chosen: both of `labels.RULES` are tried.
    classifiers
        Kinds that are tried, at each level alone.
    structures
        ``"levels"`` and ``"single"``.
    features
        Kinds of features: ``"auto"`` is those of the inputs and those of the fastest network's own answer.
    most_features
        So many are looked at.
    most_networks
        No more levels than this.
    folds
        For cross-validation; rows of one group stay together.
    most_rows
        No classifier is fitted to more rows: nearest neighbours and support vectors get slow with their number.
    rows_at_once
        How many inputs come together where the cost of features and classifiers is measured.
    """

    theta: float = 0.005
    rules: tuple[str, ...] = RULES
    classifiers: tuple[str, ...] = FITTED
    structures: tuple[str, ...] = ("levels", "single")
    features: str | tuple[str, ...] = "auto"
    most_features: int = MOST_FEATURES
    most_networks: int = 4
    folds: int = 5
    most_rows: int = 1000
    rows_at_once: int = 1


@dataclass(frozen=True)
class Variant:
    """One premodel by cross-validation: what it picks for rows that its classifiers did not see.

    Parameters
    ----------
    features
        Kind of features.
    networks
        In the order of the levels.
    structure, kinds
        How it is built, and the kind of each classifier.
    fallback
        The network for rows that nothing claims.
    positions, picked
        Position of each row's network among those of the levels and the fallback, and its number [rows].
    ms
        Predicted time of each row, features and classifiers included [rows].
    accuracy, mean_ms, longest_ms
        Of all rows; the longest that there can be.
    drop, uncertainty
        Share of accuracy lost against the best single network, and its standard error, by whole groups where there are groups.
    overhead_ms
        Time of features and classifiers, by position of the network that is picked; the last one is of the fallback.
    """

    features: str
    networks: tuple[int, ...]
    structure: str
    kinds: tuple[str, ...]
    fallback: int
    positions: NDArray[np.int64]
    picked: NDArray[np.int64]
    ms: NDArray[np.float64]
    accuracy: float
    mean_ms: float
    longest_ms: float
    overhead_ms: tuple[float, ...]
    drop: float
    uncertainty: float


class PremodelSearch:
    """All premodels on the same rows.

    Parameters
    ----------
    answers
        Of the networks, the fastest first.
    inputs
        The rows themselves [rows, ...]; None where only features of answers are asked for.
    folds
        Fold of each row [rows].
    scale
        Time of the policy's device by time of this machine, for what is measured here.
    """

    def __init__(
        self,
        answers: Answers,
        inputs: NDArray[Any] | None,
        folds: NDArray[np.int64],
        settings: PremodelSettings | None = None,
        scale: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.answers = answers
        self.settings = settings or PremodelSettings()
        self.folds = folds
        self.scale = scale
        self.seed = seed
        self.right = answers.right
        self.single = best_single(answers)
        self._units = answers.units
        self._shares = np.full(len(answers.y), 1 / len(answers.y))
        self.sources = self._sources(inputs)
        self.tables = {
            kind: features_of(kind, source, names_of(kind, answers.classes))
            for kind, source in self.sources.items()
        }
        sets = [
            tuple(included_networks(self.right, self.settings.theta, rule)[: self.settings.most_networks])
            for rule in self.settings.rules
        ]
        self.sets = list(dict.fromkeys(sets))

    @property
    def single_ms(self) -> float:
        """Time of the best single network."""
        return float(self.answers.times_ms[self.single])

    def _sources(self, inputs: NDArray[Any] | None) -> dict[str, NDArray[Any]]:
        """What each kind of features is worked out from."""
        wanted = self.settings.features
        if wanted == "auto":
            wanted = ("answer",) if inputs is None else (kind_of(inputs), "answer")
        kinds = (wanted,) if isinstance(wanted, str) else wanted
        found = {}
        for kind in kinds:
            source = self.answers.log_probabilities[0] if kind == "answer" else inputs
            if source is None:
                raise ValueError(f"features of the kind {kind!r} need the inputs")
            found[kind] = source
        return found

    def run(self, progress: ProgressCallback = silent) -> list[Variant]:
        """Every variant, judged on rows left out."""
        found: list[Variant] = []
        work = [(kind, networks) for kind in self.sources for networks in self.sets]
        for done, (kind, networks) in enumerate(work):
            progress(done / len(work), f"premodels on {kind} features")
            found += self._variants(kind, networks)
        progress(1.0, "done")
        return found

    def fit(self, variant: Variant) -> Premodel:
        """The premodel of a variant, from all rows; `choices` are numbers of the answers' networks."""
        labels = cheapest_right(self.right, variant.networks)
        names, chosen = self._chosen(variant.features, labels)
        values = chosen.normalised(self.tables[variant.features])
        if variant.structure == "single":
            classifiers = [self._classifier(variant.kinds[0], values, labels)]
        else:
            classifiers = [
                self._level(name, values, labels, level) for level, name in enumerate(variant.kinds)
            ]
        return Premodel(
            (variant.features, names),
            chosen.shift,
            chosen.scale,
            variant.structure,
            tuple(classifiers),
            (*variant.networks, variant.fallback),
            variant.overhead_ms,
        )

    def _chosen(self, kind: str, labels: NDArray[np.int64]) -> tuple[tuple[str, ...], ChosenFeatures]:
        """Features that all rows speak for, with their names."""
        chosen = choose_features(self.tables[kind], labels, self.settings.most_features, seed=self.seed)
        names = names_of(kind, self.answers.classes)
        return tuple(names[column] for column in chosen.columns), chosen

    def _classifier(
        self, kind: str, values: NDArray[np.float64], labels: NDArray[np.int64]
    ) -> tuple[str, dict[str, NDArray[Any]]]:
        if len(labels) > self.settings.most_rows:
            some = np.random.default_rng(self.seed).permutation(len(labels))[: self.settings.most_rows]
            values, labels = values[some], labels[some]
        return fit_classifier(kind, values, labels, self.seed)

    def _level(
        self, kind: str, values: NDArray[np.float64], labels: NDArray[np.int64], level: int
    ) -> tuple[str, dict[str, NDArray[Any]]]:
        """A level learns from the rows that are for no level before it."""
        left = labels >= level
        if not left.any():
            return "constant", {"classes": np.zeros(1, np.int64)}
        return self._classifier(kind, values[left], (labels[left] == level).astype(np.int64))

    def _variants(self, kind: str, networks: tuple[int, ...]) -> list[Variant]:
        """All variants on one kind of features and one set of networks."""
        labels = cheapest_right(self.right, networks)
        claims, positions = self._held_out(kind, networks, labels)
        costs = self._costs(kind, networks, labels)
        found = []
        for structure, kinds, where, overhead in self._combinations(networks, claims, positions, costs):
            for fallback in dict.fromkeys((min(networks), self._most_accurate(networks))):
                found.append(self._variant(kind, networks, structure, kinds, fallback, where, overhead))
        return found

    def _held_out(
        self, kind: str, networks: tuple[int, ...], labels: NDArray[np.int64]
    ) -> tuple[dict[tuple[int, str], NDArray[np.bool_]], dict[str, NDArray[np.int64]]]:
        """What classifiers say of rows that they did not see: claims of each level and kind, positions of each single kind."""
        settings, rows = self.settings, len(labels)
        claims = {
            (level, name): np.zeros(rows, bool)
            for level in range(len(networks) if "levels" in settings.structures else 0)
            for name in settings.classifiers
        }
        single = settings.classifiers if "single" in settings.structures else ()
        positions = {name: np.zeros(rows, np.int64) for name in single}
        for fold in np.unique(self.folds):
            held = self.folds == fold
            chosen = choose_features(
                self.tables[kind][~held], labels[~held], settings.most_features, seed=self.seed
            )
            seen, left_out = (chosen.normalised(self.tables[kind][part]) for part in (~held, held))
            for level, name in claims:
                one = self._level(name, seen, labels[~held], level)
                claims[level, name][held] = classify(*one, left_out) == 1
            for name in positions:
                positions[name][held] = classify(*self._classifier(name, seen, labels[~held]), left_out)
        return claims, positions

    def _costs(
        self, kind: str, networks: tuple[int, ...], labels: NDArray[np.int64]
    ) -> dict[tuple[str, int, str], float]:
        """Measured time of features (in ``("features", 0, "")``), of each level and kind, and of each single kind."""
        at_once = self.settings.rows_at_once
        names, chosen = self._chosen(kind, labels)
        rows = self.sources[kind][:_TIMED_ROWS]
        values = chosen.normalised(self.tables[kind])
        costs = {("features", 0, ""): cost_ms(lambda x: features_of(kind, x, names), rows, at_once)}
        for structure in self.settings.structures:
            for level in range(len(networks) if structure == "levels" else 1):
                for name in self.settings.classifiers:
                    one = (
                        self._level(name, values, labels, level)
                        if structure == "levels"
                        else self._classifier(name, values, labels)
                    )
                    classifier = functools.partial(classify, *one)
                    costs[structure, level, name] = cost_ms(classifier, values[:_TIMED_ROWS], at_once)
        return {key: self.scale * ms for key, ms in costs.items()}

    def _combinations(
        self,
        networks: Sequence[int],
        claims: dict[tuple[int, str], NDArray[np.bool_]],
        positions: dict[str, NDArray[np.int64]],
        costs: dict[tuple[str, int, str], float],
    ) -> Iterator[tuple[str, tuple[str, ...], NDArray[np.int64], NDArray[np.float64]]]:
        """Structure, kinds, position of each row, and time before a network runs by position."""
        features_ms, count = costs["features", 0, ""], len(networks)
        if claims:
            for kinds in itertools.product(self.settings.classifiers, repeat=count):
                where = np.full(len(self.folds), count)
                for level in reversed(range(count)):
                    where[claims[level, kinds[level]]] = level
                each = [costs["levels", level, kinds[level]] for level in range(count)]
                sums = features_ms + np.cumsum(each)
                yield "levels", kinds, where, np.append(sums, sums[-1])
        for name, where in positions.items():
            yield "single", (name,), where, np.full(count + 1, features_ms + costs["single", 0, name])

    def _variant(
        self,
        kind: str,
        networks: tuple[int, ...],
        structure: str,
        kinds: tuple[str, ...],
        fallback: int,
        where: NDArray[np.int64],
        overhead: NDArray[np.float64],
    ) -> Variant:
        times = self.answers.times_ms
        choices = np.array([*networks, fallback])
        picked = choices[where]
        by_position = overhead + times[choices]
        if kind == "answer":  # the first network has run by then
            by_position = overhead + times[0] + np.where(choices == 0, 0.0, times[choices])
        ms = by_position[where]
        right = self.right[picked, np.arange(len(picked))]
        lost = self.right[self.single].astype(np.float64) - right
        return Variant(
            kind, networks, structure, kinds, fallback, where, picked, ms,
            float(right.mean()), float(ms.mean()), float(by_position.max()), tuple(overhead.tolist()),
            *mean_and_error(lost, self._shares, self._units),
        )  # fmt: skip

    def _most_accurate(self, networks: Sequence[int]) -> int:
        return max(networks, key=lambda one: (self.right[one].mean(), -one))
