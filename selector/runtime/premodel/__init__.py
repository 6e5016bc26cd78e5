"""Running premodels: cheap features of inputs, classifiers as arrays, and what picks a network by them.

May import the files of `selector.runtime`, and numpy.
"""

from __future__ import annotations

from selector.runtime.premodel.classifiers import classify
from selector.runtime.premodel.features import features_of, kind_of, names_of
from selector.runtime.premodel.running import Premodel, PremodelRunner, first_claim

__all__ = ["Premodel", "PremodelRunner", "classify", "features_of", "first_claim", "kind_of", "names_of"]
