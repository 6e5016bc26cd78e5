"""From times of whole networks to a time model."""

from timemodel.fitting.totals.fit import fit_totals, fit_totals_table
from timemodel.fitting.totals.prices import fit_prices, misfit, rough_costs
from timemodel.fitting.totals.table import Totals, read_totals

__all__ = [
    "Totals",
    "fit_prices",
    "fit_totals",
    "fit_totals_table",
    "misfit",
    "read_totals",
    "rough_costs",
]
