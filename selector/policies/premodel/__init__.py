"""Fitting premodels: which networks to choose from, by which features, with which classifiers.

May import the files of `selector.policies` and scikit-learn.
"""

from __future__ import annotations

from selector.policies.premodel.fitting import PremodelPolicy, fit_premodel
from selector.policies.premodel.labels import cheapest_right, included_networks
from selector.policies.premodel.search import PremodelSettings

__all__ = ["PremodelPolicy", "PremodelSettings", "cheapest_right", "fit_premodel", "included_networks"]
