"""Keras to a file that searches with beams, without TensorFlow: export, run, tune."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from small_sequences import SOURCE, STEPS, TOKENS, small_sequence
from typer.testing import CliRunner

import edgetime.sequence as sequence
from compressor.sequence import choose_palette, export_sequence
from compressor.sequence.parts import Named
from compressor.sequence.slices import slices_as_shapes
from edgetime.cli import app
from profiler.errors import EdgetimeError, ModelFileError, UsageError
from profiler.tflite import read_signatures
from selector.runtime import make_interpreter
from selector.sequence import (
    FixedWidth,
    SearchOptions,
    SequenceNetwork,
    StepDecoder,
    ThresholdPruning,
    beam_search,
    best_first_search,
)

SOURCES = ((4, 9, 5), (7, 7, 11, 3), (14,), (5, 6, 4, 10, 8, 3))


@pytest.fixture(scope="module")
def parts():
    return small_sequence()


@pytest.fixture(scope="module")
def policy(parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported network of widths 1 and 3, its lines numbers of tokens."""
    options = SearchOptions(alpha=0.0, stop="proof", forbidden=(0, 2))
    out = tmp_path_factory.mktemp("sequence") / "small.json"
    return sequence.export(*parts, out, widths=(1, 3), search=options)


@pytest.fixture(scope="module")
def network(policy: Path) -> SequenceNetwork:
    return sequence.load(policy).network


class KerasDecoder(StepDecoder):
    """The Keras network, each hypothesis run anew from its first token: no state is handed on at all."""

    vocabulary, begin, end, source_longest, longest, palette = TOKENS, 2, 3, SOURCE, STEPS, (1, 2, 3)

    def __init__(self, encoder, step):
        self._encode, self._step = Named.of(encoder, "").function(), Named.of(step(1), "").function()

    def start(self, source):
        padded = np.zeros((1, SOURCE), np.int32)
        padded[0, : len(source)] = source
        self._encoded = self._encode({"tokens": padded})
        self._rows = [()]

    def step(self, tokens, parents):
        self._rows = [
            (*self._rows[parent], int(token)) for token, parent in zip(tokens, parents, strict=True)
        ]
        return np.concatenate([self._scores(row) for row in self._rows])

    def _scores(self, row):
        h, keys = self._encoded["h"], np.zeros((1, STEPS, self._encoded["h"].shape[1]), np.float32)
        for position, token in enumerate(row):
            given = {"token": np.array([token]), "position": np.array([position]), "h": h, "keys": keys}
            found = self._step({**self._encoded, **given})
            h = found["h"]
            keys[:, position] = found["keys"]
        return found["logits"]

    def state(self, row):
        raise NotImplementedError

    def step_from(self, token, state):
        raise NotImplementedError


@pytest.mark.parametrize("widths", [FixedWidth(1), FixedWidth(3), ThresholdPruning(absolute=1.5, widest=3)])
def test_a_search_in_litert_finds_what_it_finds_in_keras(parts, network: SequenceNetwork, widths):
    keras_decoder = KerasDecoder(*parts)
    options = SearchOptions(best=2, forbidden=(0,))
    for source in SOURCES[:2]:
        wanted = beam_search(keras_decoder, source, widths, options)
        found = beam_search(network, source, widths, options)
        assert [one.tokens for one in found.hypotheses] == [one.tokens for one in wanted.hypotheses]
        assert [one.score for one in found.hypotheses] == pytest.approx(
            [one.score for one in wanted.hypotheses], abs=1e-4
        )


def test_best_first_search_finds_what_beam_search_finds(network: SequenceNetwork):
    options = SearchOptions(alpha=0.0, stop="proof", forbidden=(0,))
    for source in SOURCES:
        beam = beam_search(network, source, FixedWidth(3), options)
        rival = best_first_search(network, source, 3, options)
        assert rival.best.tokens == beam.best.tokens
        assert sum(rival.widths) <= sum(beam.widths)


def test_widths_share_their_weights_and_are_signatures_of_one_file(policy: Path):
    file = policy.with_suffix(".tflite")
    assert read_signatures(file) == ("encode", "step_1", "step_3") or set(read_signatures(file)) == {
        "encode",
        "step_1",
        "step_3",
    }
    weights = 4 * (TOKENS * 8 * 2 + 8 * 8 * 8 + TOKENS * 32)
    content = file.read_bytes()
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    held = [bytes(one.data) for one in model.buffers if one.data is not None and len(one.data) > 64]
    assert len(held) == len(set(held))
    assert sum(map(len, held)) < 1.5 * weights


def test_slices_that_only_drop_an_axis_are_reshapes(policy: Path):
    # The network's own file has none left (its steps index `[0]`), and others stay what they are.
    written = policy.with_suffix(".tflite").read_bytes()
    assert slices_as_shapes(written) is written
    tf = pytest.importorskip("tensorflow")
    x = tf.TensorSpec((1, 3, 4), tf.float32)
    function = tf.function(lambda x: (x[0], x[:, ::-1], x[:, 1:, :], x[:, :, None]), input_signature=[x])
    concrete = function.get_concrete_function()
    content = tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()
    changed = slices_as_shapes(content)
    given = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    found, counts = [], []
    for one in (content, changed):
        interpreter = make_interpreter(one)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], given)
        interpreter.invoke()
        found.append([interpreter.get_tensor(out["index"]) for out in interpreter.get_output_details()])
        ops = [op["op_name"] for op in interpreter._get_ops_details()]
        counts.append(ops.count("STRIDED_SLICE"))
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))
    assert counts[1] < counts[0]
    assert counts[1] > 0


def test_slices_of_tensors_whose_sizes_a_run_may_choose_stay_slices():
    tf = pytest.importorskip("tensorflow")
    x = tf.TensorSpec((None, None, 4), tf.float32)
    concrete = tf.function(lambda x: x[:, -1] * 2.0, input_signature=[x]).get_concrete_function()
    content = tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()
    given = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    interpreter = make_interpreter(slices_as_shapes(content))
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, given.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, given)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert np.array_equal(found, given[:, -1] * 2.0)


def test_a_policy_runs_on_some_of_its_networks_widths(policy: Path):
    whole = sequence.load(policy)
    assert whole.network.palette == (1, 3)
    few = whole.with_palette((3,))
    assert few.network.palette == few.policy.palette == (3,)
    found, wanted = (one.search((4, 9, 5), widths=FixedWidth(2)) for one in (few, whole))
    assert set(found.run_widths) == {3}
    assert found.best.tokens == wanted.best.tokens
    value = json.loads(policy.read_text())
    file = policy.parent / "few.json"
    file.write_text(json.dumps({**value, "palette": [3]}))
    assert sequence.load(file).network.palette == (3,)
    file.write_text(json.dumps({**value, "palette": [2, 3]}))
    with pytest.raises(EdgetimeError, match="widths 2, 3"):
        sequence.load(file)


def test_a_step_gives_its_likeliest_tokens_too(network: SequenceNetwork):
    network.start(SOURCES[0])
    logits = network.step(np.array([2], np.int32), np.zeros(1, np.intp))
    probabilities, tokens = network.top
    assert tokens[0] == np.argsort(-logits[0], kind="stable")[: len(tokens[0])].tolist()
    shares = np.exp(logits[0] - logits[0].max())
    assert network.probabilities[0] == pytest.approx(shares / shares.sum(), rel=1e-5)
    assert probabilities[0] == network.probabilities[0][tokens[0]].tolist()


@pytest.mark.parametrize("vocabulary", [40, 1000, 1024])
def test_the_likeliest_of_many_tokens_are_found_by_blocks_ties_and_all(vocabulary: int):
    from compressor.sequence.heads import _head

    logits = np.random.default_rng(vocabulary).integers(0, 40, (3, vocabulary)).astype(np.float32) / 4
    probabilities, highest, tokens = (np.asarray(one) for one in _head(logits, 12))
    order = np.argsort(-logits, axis=1, kind="stable")[:, :12]
    assert tokens.tolist() == order.tolist()
    assert highest.tolist() == np.take_along_axis(probabilities, order, axis=1).tolist()


def test_int8_keeps_its_inputs_and_most_of_its_answers(
    parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # As if int8 lost too much in the encoder, as it does in recurrent ones.
    monkeypatch.setattr("compressor.sequence.exporting._ENCODER_LIMIT", 0.0)
    found = export_sequence(*parts, tmp_path / "small8.tflite", (1,), "int8", [*SOURCES] * 3)
    assert (found.quantize, found.encoder_quantize) == ("int8", "dynamic")
    assert found.comparison.agreement >= 0.85
    network = SequenceNetwork(found.path.read_bytes(), 2, 3)
    assert network.longest == STEPS
    assert beam_search(network, SOURCES[0], FixedWidth(1)).best.log_probability < 0


def test_the_attention_of_a_step_can_be_covered(network: SequenceNetwork):
    options = SearchOptions(coverage=0.3, forbidden=(0,))
    assert beam_search(network, SOURCES[3], FixedWidth(3), options).best.score < 0


def test_parts_that_do_not_fit_are_refused(parts, tmp_path: Path):
    import keras

    encoder, step = parts
    tokens = keras.Input(batch_shape=(1, SOURCE), dtype="int32", name="tokens")
    bare = keras.Model({"tokens": tokens}, {"memory": keras.ops.cast(tokens, "float32")})
    with pytest.raises(UsageError, match="int8 needs typical sources"):
        export_sequence(encoder, step, tmp_path / "a.tflite", quantize="int8")
    with pytest.raises(UsageError, match=r"takes 'token' .* and gives 'logits'"):
        export_sequence(encoder, lambda width: encoder, tmp_path / "a.tflite")
    with pytest.raises(UsageError, match="takes 'mask', which neither"):
        export_sequence(bare, step, tmp_path / "a.tflite")
    assert not list(tmp_path.iterdir())


def test_a_palette_keeps_the_widest_width_of_each_stair():
    times = {1: 40.0, 2: 60.0, 3: 61.0, 4: 62.0, 5: 103.0, 6: 105.0, 7: 106.0, 8: 178.0}
    assert choose_palette(times) == (1, 4, 7, 8)
    assert choose_palette({1: 5.0, 2: 9.0, 3: 6.0}) == (1, 3)


def run(*arguments: object, status: int = 0, given: str | None = None):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=given)
    assert result.exit_code == status, f"{result.output}\n{result.exception!r}"
    return result


def test_lines_are_translated_from_the_command_line(policy: Path, tmp_path: Path):
    one = run("run", policy, "--text", "4 9 5").stdout.split("\n")[0]
    out = tmp_path / "out.txt"
    answer = json.loads(
        run("run", policy, "--lines", "-", "--json", "-o", out, given="4 9 5\n\n7 7 11 3\n").stdout
    )
    assert out.read_text() == "".join(f"{line['text']}\n" for line in answer["lines"])
    assert [line["text"] for line in answer["lines"]][:2] == [one, ""]
    first, empty, _ = answer["lines"]
    assert len(first["widths"]) == first["steps"] > 0
    assert set(first["run_widths"]) <= {1, 3}
    assert first["measured_ms"] > first["decoder_ms"] > 0
    assert (empty["steps"], empty["measured_ms"]) == (0, 0.0)


def test_a_line_that_is_too_long_is_cut_and_says_so(policy: Path):
    result = run("run", policy, "--text", "4 9 5 4 9 5 4", "--json")
    assert "has 8 tokens, and the encoder takes 6" in " ".join(result.stderr.split())
    assert json.loads(result.stdout)["lines"][0]["cut"]


def test_what_cannot_be_run_is_one_sentence(policy: Path, tmp_path: Path):
    other = json.loads(policy.read_text())
    other["palette"] = [1, 2]
    (policy.parent / "other.json").write_text(json.dumps(other))
    changed = json.loads(policy.read_text())
    changed["sha256"]["network"] = "0" * 64
    (policy.parent / "changed.json").write_text(json.dumps(changed))
    (tmp_path / "bad.json").write_text("{")
    for file, more, status, sentence in (
        (policy.parent / "other.json", ["--text", "4"], 1, "widths 1, 2 and 15 tokens, and"),
        (policy.parent / "changed.json", ["--text", "4"], 1, "is not the file that"),
        (tmp_path / "bad.json", ["--text", "4"], 2, "no sequence policy"),
        (tmp_path / "missing.json", ["--text", "4"], 2, "does not exist"),
        (policy, ["--text", "ein Hund"], 1, "is no line of token numbers"),
        (policy, [], 2, "Name what to run on"),
        (policy, ["--text", "4", "--lines", "-"], 2, "not both"),
    ):
        output = run("run", file, *more, status=status).output
        assert sentence in " ".join(output.split())


@pytest.mark.parametrize(
    ("part", "name", "value", "sentence"),
    [
        (None, "longest", 0, "longest is a number of steps from 1, not 0"),
        (None, "longest", "9", "longest is a number of steps from 1, not '9'"),
        (None, "begin", 99, "The token begin is 99, and the vocabulary has 15"),
        (None, "least", float("nan"), "it holds NaN, which is no number"),
        (None, "network", None, "names its network, not None"),
        ("search", "best", 2.5, "best is the number of outputs, at least 1, not 2.5"),
        ("search", "alpha", "1", "alpha is a number from 0, not '1'"),
        ("search", "prefix", ["a"], "prefix are whole numbers of tokens"),
        ("widths", "kind", "psychic", "There is no width policy 'psychic'"),
    ],
)
def test_a_damaged_policy_is_named_with_what_is_wrong(policy: Path, part, name, value, sentence):
    plain = json.loads(policy.read_text())
    (plain if part is None else plain[part])[name] = value
    file = policy.parent / "damaged.json"
    file.write_text(json.dumps(plain))
    with pytest.raises(
        EdgetimeError,
        match=re.escape(str(file)) + r" is (damaged|no sequence policy) \(.*" + re.escape(sentence),
    ):
        sequence.load(file)


def test_tokens_that_the_encoder_does_not_know_are_refused(network: SequenceNetwork):
    with pytest.raises(EdgetimeError, match=r"cannot encode .* take tokens of its own vocabulary"):
        network.start([4, TOKENS + 5])


def test_a_file_that_is_no_sequence_network_is_refused(policy: Path, tmp_path: Path):
    with pytest.raises(EdgetimeError, match="does not load in LiteRT"):
        SequenceNetwork(b"TFL3" * 20, 2, 3)
    content = policy.with_suffix(".tflite").read_bytes()
    with pytest.raises(ModelFileError, match="holds 7 steps in its caches, not 9"):
        SequenceNetwork(content, 2, 3, longest=9)


def test_tuning_finds_a_policy_no_worse_than_the_best_fixed_width(policy: Path, tmp_path: Path):
    # What width 3 gives is what is wanted: width 1 finds some of it.
    loaded = sequence.load(policy)
    generator = np.random.default_rng(0)
    lines = [" ".join(map(str, generator.integers(4, TOKENS, generator.integers(1, 6)))) for _ in range(24)]
    wanted = [loaded.text_of(loaded.search(loaded.tokens(line), widths=FixedWidth(3)).best) for line in lines]
    data, out = tmp_path / "dev.tsv", tmp_path / "tuned.json"
    data.write_text("".join(f"{a}\t{b}\n" for a, b in zip(lines, wanted, strict=True)))
    asked = ["--data", data, "-o", out, "--metric", "exact", "--trials", 8, "--json"]
    found = json.loads(run("tune-beam", policy, *asked).stdout)
    assert found["fixed"]["quality"] == 100.0
    assert found["chosen"]["quality"] == 100.0
    assert found["chosen"]["mean_ms"] <= found["fixed"]["mean_ms"]
    assert found["chosen"]["quality_difference_low"] <= 0.0
    assert {one["widths"]["kind"] for one in found["points"]} > {"fixed", "threshold"}
    again = sequence.load(out)
    assert again.policy.widths.to_dict() == found["chosen"]["widths"]
    assert again(lines[0]).predicted_ms > 0
    assert again(lines[0]).text == wanted[0]


def test_tuning_needs_pairs(policy: Path, tmp_path: Path):
    data = tmp_path / "dev.tsv"
    data.write_text("4 9 5\n")
    output = run("tune-beam", policy, "--data", data, "-o", tmp_path / "p.json", status=1).output
    assert "Line 1" in output
    assert "0 tabs" in " ".join(output.split())


def test_how_surely_two_networks_together_are_no_worse_cannot_be_asked_for(policy: Path, tmp_path: Path):
    data, out = tmp_path / "dev.tsv", tmp_path / "both.json"
    data.write_text("4 9\t5\n")
    asked = ["--then", policy, "--data", data, "-o", out, "--worst-drop", 0.5]
    output = run("tune-beam", policy, *asked, status=2).output
    assert "leave --worst-drop out" in " ".join(output.split())
    assert not out.exists()


def test_a_small_network_hands_on_what_it_is_not_sure_of(policy: Path, tmp_path: Path):
    # The small one is the same network with a beam of width 1; what width 3 finds is what is wanted.
    large = sequence.load(policy)
    small = json.loads(policy.read_text())
    small["widths"] = {"kind": "fixed", "width": 1}
    (policy.parent / "narrow.json").write_text(json.dumps(small))
    lines = [f"{token} {other}" for token in range(4, 10) for other in range(4, 8)]
    wanted = [large(line).text for line in lines]
    data, out = tmp_path / "dev.tsv", tmp_path / "both.json"
    data.write_text("".join(f"{a}\t{b}\n" for a, b in zip(lines, wanted, strict=True)))
    asked = ["--then", policy, "--data", data, "-o", out, "--metric", "exact", "--json"]
    found = json.loads(run("tune-beam", policy.parent / "narrow.json", *asked).stdout)
    assert found["quality"] == found["large_quality"] == 100.0 > found["small_quality"]
    both = sequence.load(out)
    answers = [both(line) for line in lines]
    assert [one.text for one in answers] == wanted
    assert np.mean([one.stage for one in answers]) == pytest.approx(found["handed_on"])
    handed = next(one for one in answers if one.stage)
    assert handed.predicted_ms > handed.found.run_widths.count(3) * both.policy.step_ms[3]


def test_a_policy_that_asks_itself_is_refused(policy: Path):
    value = json.loads(policy.read_text())
    value["then"], value["least"] = "circle.json", -1.0
    file = policy.parent / "circle.json"
    file.write_text(json.dumps(value))
    value["sha256"]["then"] = "0" * 64
    with pytest.raises(EdgetimeError):
        sequence.load(file)
