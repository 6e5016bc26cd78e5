"""Builtin operators that have no probes of their own, and why."""

from __future__ import annotations

from types import MappingProxyType

_STRINGS = "reads strings"
_GONE = "no runtime has it any more"
_LOWERED = "converters write other operators in its place"
_SIZE = "the size of its result follows from values"
_HANDLE = "prepares a variable and does no work in an inference"
_RANDOM = "draws random numbers, which networks that are run do not"

NOT_PROBED = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "hashtable",
                "hashtable_find",
                "hashtable_import",
                "hashtable_size",
                "hashtable_lookup",
                "lsh_projection",
            ),
            _STRINGS,
        ),
        **dict.fromkeys(("skip_gram", "embedding_lookup_sparse"), _STRINGS),
        **dict.fromkeys(("call", "concat_embeddings", "delegate", "placeholder_for_greater_op_codes"), _GONE),
        **dict.fromkeys(("range", "unique", "where"), _SIZE),
        **dict.fromkeys(("random_standard_normal", "random_uniform", "multinomial"), _RANDOM),
        "call_once": _HANDLE,
        "var_handle": _HANDLE,
        "custom": "custom operators go by their names",
        "densify": "unpacks sparse weights when a network is loaded",
        "if": "costs what the branch costs that it takes",
        "bucketize": "prepares tables of features, and its limits stand in its options",
        "stablehlo_composite": "costs what it is made of, or is an operator composite:NAME",
        "dilate": _LOWERED,
        "reduce_window": _LOWERED,
    }
)
"""By operator; those named ``stablehlo_…`` are left out: converters lower them, see `why_not_probed`."""


def why_not_probed(op: str) -> str | None:
    """Why the builtin operator `op` has no probes of its own; None where there is no reason."""
    if op in NOT_PROBED:
        return NOT_PROBED[op]
    return _LOWERED if op.startswith("stablehlo_") else None
