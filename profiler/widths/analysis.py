"""Walking through a network to find out how its widths hang together."""

from __future__ import annotations

from profiler.network import Network
from profiler.widths.rules import RULES
from profiler.widths.step import Analysis, Step


def analyse(network: Network) -> Analysis:
    """Walk through the layers of `network` and find out how their widths hang together."""
    analysis = Analysis(network)
    for position, edge in enumerate(network.edges):
        step = Step(analysis, position)
        rule = RULES.get(step.layer.op)
        if rule is None:
            step.reason = f"{step.layer.op} {step.layer.name!r} is not understood"
            step.freeze_all()
            continue
        try:
            rule(step)
        except (IndexError, ValueError, ZeroDivisionError):
            # Shapes that an operator cannot have, in a file that no runtime would take.
            step.freeze_all()
        if edge.graph:
            for tensor in edge.outputs:
                for size in analysis.sizes.pop(tensor, ()):
                    analysis.variables.freeze(size, "it stands in a loop or branch")
            chosen = analysis.defining.get(position, 0)
            analysis.variables.freeze(chosen, "it stands in a loop or branch")
    for tensor in network.outputs:
        for size in analysis.sizes.get(tensor, ()):
            analysis.variables.freeze(size, "the network puts it out")
    for layer, edge in zip(network.layers, network.edges, strict=False):
        # Weights that are unpacked on loading have the axes of what they are unpacked to.
        if layer.op in ("dequantize", "densify") and layer.inputs and layer.inputs[0].constant:
            made = analysis.sizes.get(edge.outputs[0])
            if made is not None:
                analysis.sizes[edge.inputs[0]] = made
    return analysis
