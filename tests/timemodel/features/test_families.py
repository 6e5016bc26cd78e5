"""Families of features stand under the names that operators' entries give them."""

from __future__ import annotations

from typing import get_args

import pytest

from profiler.operators import operators, registry
from timemodel.features import family_of
from timemodel.features.families import FAMILIES


def test_there_are_the_families_that_entries_may_name():
    assert sorted(FAMILIES) == sorted(get_args(registry.Features))


@pytest.mark.parametrize("entry", operators(), ids=lambda entry: entry.name)
def test_an_operator_has_the_family_that_its_entry_names(entry):
    assert family_of(entry.name).name == entry.features
