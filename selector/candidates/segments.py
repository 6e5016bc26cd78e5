"""What the exits of one network answer on rows: the segments of its file run in order."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from profiler.errors import DataError, ModelFileError
from profiler.tflite import only_signature, read_network, read_signatures
from selector.candidates.answers import Answers
from selector.runtime import PolicyNetwork, log_probabilities
from timemodel.model import NetworkPredictor
from timemodel.runtime import RowLoop

if TYPE_CHECKING:
    from compressor.data import Rows


def heads_ms(time_model: NetworkPredictor, path: str | os.PathLike[str], classes: int) -> list[float]:
    """Predicted time of each segment's head: of the operators that nothing that is handed on needs."""
    found = []
    for signature in read_signatures(path)[:-1]:
        network = read_network(only_signature(path, signature))
        answer = max(index for index in network.outputs if network.tensors[index].shape[1:] == (classes,))
        needed = {index for index in network.outputs if index != answer}
        own = []
        for edge, layer in reversed(
            list(zip(network.edges, time_model.predict(network).layers, strict=True))
        ):
            if needed & {*edge.outputs}:
                needed |= {*edge.inputs}
            else:
                own.append(layer.predicted_ms or 0.0)
        found.append(float(sum(own)))
    return found


def gather_segments(
    time_model: NetworkPredictor,
    path: str | os.PathLike[str],
    x: Rows,
    y: np.ndarray,
    *,
    form: str = "probabilities",
    source: str = "data",
) -> Answers:
    """Predict the time of each segment of a network with exits, and run them in order on rows that it was not trained on.

    Parameters
    ----------
    time_model
        Of the device.
    path
        A `.tflite` file with a signature for each segment, as `compressor.exits.make_exits` writes it.
    x, y
        Rows and their classes.
    form
        ``"probabilities"`` or ``"logits"``: what the exits give.
    source
        What the rows are, for messages.

    Returns
    -------
    Answers
        The segments in the order in which they run; `predicted_ms` is of each one's own operators, and of handing it a row.
    """
    # Imported late: a policy is fitted without it where there are no exits.
    from compressor.exits import ANSWER, HIDDEN, run_segments
    from compressor.export import TfliteRunner

    file = Path(path)
    signatures = read_signatures(file)
    if len(signatures) < 2:
        raise ModelFileError(
            f"{file} is no network with exits (it has {len(signatures)} signatures): write it with 'edgetime exits'."
        )
    networks = []
    loop = RowLoop.of(time_model)
    for place, signature in enumerate(signatures):
        content = only_signature(file, signature)
        segment = read_network(content)
        prediction = time_model.predict(segment)
        handed = {*segment.inputs, *segment.outputs}
        around_ms = loop.run_ms(sum(segment.tensors[index].nbytes for index in handed))
        takes = TfliteRunner(content, f"{file}, {signature}").input_dtypes
        networks.append(
            PolicyNetwork(
                file=file.name,
                name=f"exit {place + 1}" if signature != signatures[-1] else "last",
                predicted_ms=float(prediction.predicted_ms) + around_ms,
                signature=signature,
                form=form,
                answer=ANSWER,
                feeds=tuple(name for name in takes if place and name.startswith(HIDDEN)),
                dtype=prediction.dtype,
                predicted_mj=prediction.energy_mj,
            )
        )
    found = [log_probabilities(answer, form) for answer in run_segments(file, x)]
    for network, answers in zip(networks, found, strict=True):
        if not np.isfinite(answers).all():
            raise DataError(
                f"{file} answers NaN or infinity at its {network.name}: make it again with 'edgetime exits'."
            )
    return Answers(
        tuple(networks),
        (file,) * len(networks),
        np.stack(found),
        np.asarray(y, np.int64),
        source=source,
        decide_ms=loop.decide_ms,
    )
