"""Tables of layers: what is read from them, and one sentence with file, line and column for what cannot be."""

import csv
import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.errors import DataError, UsageError
from profiler.operators import conv_2d, depthwise_conv_2d, fully_connected
from timemodel.features import geometry
from timemodel.fitting.tables import checked, read_table, write_predictions
from timemodel.fitting.tables.time_units import suspect

HEADER = (
    "op,dtype,batch,in_height,in_width,in_channels,out_channels,kernel_height,kernel_width,stride_height,"
    "stride_width,padding,activation,time_ms"
)
CONV = "conv_2d,float32,1,16,16,8,32,3,3,1,1,same,relu,0.5"


@pytest.fixture
def write(tmp_path):
    def make(*lines, name="t.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
        return path

    return make


def problem(path, kind=DataError, **options):
    with pytest.raises(kind) as caught:
        read_table(path, **options)
    text = str(caught.value)
    assert str(path) in text
    assert text.endswith(".")
    assert "\n" not in text
    return text


def test_rows_become_the_layers_that_constructors_make(write):
    table = read_table(
        write(
            HEADER,
            CONV,
            "fully_connected,float32,4,,,100,10,,,,,,none,0.1",
            "depthwise_conv_2d,int8,1,9,9,6,,5,5,2,2,valid,relu6,0.2",
        )
    )
    assert table.times_ms.tolist() == [0.5, 0.1, 0.2]
    expected = [
        conv_2d(16, 16, 8, 32, activation="relu"),
        fully_connected(100, 10, rows=4),
        depthwise_conv_2d(9, 9, 6, (5, 5), (2, 2), padding="valid", activation="relu6", dtype="int8"),
    ]
    assert np.array_equal(geometry(table.layers), geometry(expected))
    assert [layer.dtype for layer in table.layers] == ["float32", "float32", "int8"]
    assert [layer.macs for layer in table.layers] == [layer.macs for layer in expected]


def test_gzip_byte_order_mark_blank_lines_and_missing_columns(tmp_path):
    path = tmp_path / "t.csv.gz"
    text = "\ufeffop,in_height,in_width,in_channels,out_channels,kernel_height,kernel_width,time_ms\n\n"
    path.write_bytes(gzip.compress((text + "conv_2d,8,8,3,4,1,1,2.5\n").encode("utf-8")))
    table = read_table(path)
    assert table.layers[0].outputs[0].shape == (1, 8, 8, 4)
    assert any("stride_height" in note and "taken as 1" in note for note in table.notes)


def test_columns_that_are_not_used_are_named(write):
    table = read_table(write(HEADER + ",clock_mhz", CONV + ",1500"))
    assert any("clock_mhz" in note for note in table.notes)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("conv_2d,float32,1,16,16,8,32,3,3,1,1,same,relu,-0.5", ["line 3", "time_ms", "-0.5"]),
        ("conv_2d,float32,1,16,16,8,32,3,3,1,1,same,relu,0", ["line 3", "time_ms"]),
        ("conv_2d,float32,1,16,16,8,32,3,3,1,1,same,relu,NaN", ["line 3", "time_ms", "NaN"]),
        ("conv_2d,float32,1,16,16,8,32,3,3,1,1,same,relu,inf", ["line 3", "time_ms"]),
        ("conv_2d,float32,1,16,16,8,32,3,3,1,1,same,relu,", ["line 3", "time_ms", "missing"]),
        ("conv_2d,float32,1,16,16,8,32,3,3,1,1,same,relu,fast", ["line 3", "time_ms", "'fast'"]),
        ("conv_2d,float32,1,16,16,8,32.5,3,3,1,1,same,relu,1", ["line 3", "out_channels", "32.5"]),
        ("conv_2d,float32,1,16,16,0,32,3,3,1,1,same,relu,1", ["line 3", "in_channels"]),
        ("conv_2d,float32,1,16,16,,32,3,3,1,1,same,relu,1", ["line 3", "in_channels", "missing"]),
        ("conv_2d,float32,1,16,1e99,8,32,3,3,1,1,same,relu,1", ["line 3", "in_width"]),
        ("convolution,float32,1,16,16,8,32,3,3,1,1,same,relu,1", ["line 3", "column op", "conv_2d"]),
        ("conv_3x3,float32,1,16,16,8,32,3,3,1,1,same,relu,1", ["line 3", "column op", "'conv_3x3'"]),
        ("conv_2d,float31,1,16,16,8,32,3,3,1,1,same,relu,1", ["line 3", "dtype", "float32"]),
        ("conv_2d,float32,1,16,16,8,32,3,3,1,1,full,relu,1", ["line 3", "padding", "valid"]),
        ("conv_2d,float32,1,16,16,8,32,3,3,1,1,same,mish,1", ["line 3", "activation", "relu"]),
        ("conv_2d,float32,1,4,4,8,32,7,7,1,1,valid,relu,1", ["line 3", "7x7"]),
        ("depthwise_conv_2d,float32,1,9,9,6,8,3,3,1,1,same,none,1", ["line 3", "multiple"]),
        ("conv_2d,float32,1,16,16,8,32,3,3,1,1,same,relu", ["line 3", "13 cells"]),
    ],
)  # fmt: skip
def test_bad_rows_are_named_by_line_and_column(write, row, words):
    text = problem(write(HEADER, CONV, row))
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([""], ["is empty"]),
        ([HEADER], ["no lines below"]),
        ([HEADER.replace(",time_ms", ""), CONV.removesuffix(",0.5")], ["time_ms"]),
        ([HEADER.replace("op,", "", 1), CONV.split(",", 1)[1]], ["column op"]),
        ([HEADER.replace("kernel_height,", ""), CONV.replace("3,3", "3")], ["kernel_height", "line 2"]),
        ([HEADER.replace(",", ";"), CONV.replace(",", ";")], ["semicolons"]),
        ([HEADER.replace(",", "\t"), CONV.replace(",", "\t")], ["tabs"]),
        ([HEADER + ",op", CONV + ",conv_2d"], ["two columns"]),
        ([HEADER + ",time_us", CONV + ",500"], ["time_ms and time_us"]),
        ([HEADER + ",", CONV + ","], ["column 15 has no name"]),
    ],
)
def test_bad_tables_are_named(write, lines, words):
    text = problem(write(*lines))
    for word in words:
        assert word in text


def test_files_that_are_no_tables(tmp_path, write):
    assert "folder" in problem(tmp_path, UsageError)
    assert "no table" in problem(tmp_path / "none.csv", UsageError)
    assert "UTF-8" in problem(write(HEADER, CONV, name="u.csv", encoding="utf-16"))
    latin = write(HEADER + ",größe", CONV + ",1", name="l.csv", encoding="latin-1")
    assert "line 1" in problem(latin)
    damaged = tmp_path / "d.csv.gz"
    damaged.write_bytes(gzip.compress(HEADER.encode())[:-9])
    assert "damaged" in problem(damaged)


def test_the_unit_comes_from_the_column_or_the_option(write):
    assert read_table(write(HEADER.replace("time_ms", "time_us"), CONV)).times_ms[0] == pytest.approx(0.0005)
    assert read_table(write(HEADER, CONV), unit="s").times_ms[0] == pytest.approx(500)
    bare = write(HEADER.replace("time_ms", "time"), CONV)
    assert "--time-unit" in problem(bare)
    assert read_table(bare, unit="us").times_ms[0] == pytest.approx(0.0005)


def test_repeated_rows_count_once_and_disagreeing_ones_by_their_median(write):
    other = CONV.replace("8,32", "8,33")
    slow, slower = (CONV.removesuffix("0.5") + t for t in ("0.6", "1.0"))
    table = read_table(write(HEADER, CONV, other, CONV, slow, slower))
    layers, times, _, notes = table.distinct()
    assert [layer.outputs[0].shape[-1] for layer in layers] == [32, 33]
    assert times.tolist() == [0.6, 0.5]
    assert "1 line repeats" in notes[0]
    assert "median" in notes[1]
    assert "100%" in notes[1]


def test_the_lines_of_one_device_are_taken(write):
    path = write(HEADER + ",device", CONV + ",a", CONV.replace("0.5", "0.7") + ",b")
    assert read_table(path, device="b").times_ms.tolist() == [0.7]
    assert "--device" in problem(path, UsageError)
    assert "no device 'c'" in problem(path, UsageError, device="c")


# --- units mixed up ---------------------------------------------------------------------------------------------------


def plausible(count=120, seed=0):
    """Layers of a processor that multiplies 2e10 times and moves 1e10 bytes per second."""
    rng = np.random.default_rng(seed)
    layers = [
        conv_2d(int(h), int(h), int(i), int(o), (int(k), int(k)))
        for h, i, o, k in zip(
            rng.integers(4, 120, count), rng.integers(3, 256, count), rng.integers(3, 256, count),
            rng.choice([1, 3, 5], count), strict=True,
        )
    ]  # fmt: skip
    moved = np.array([layer.input_bytes + layer.output_bytes + layer.weight_bytes for layer in layers])
    macs = np.array([layer.macs for layer in layers])
    times = (0.002 + macs / 2e7 + moved / 1e7) * rng.uniform(0.5, 2.0, count)
    return layers, times


def test_plausible_times_are_not_doubted():
    layers, times = plausible()
    assert suspect(layers, times) is None


def test_microseconds_called_milliseconds_are_doubted():
    layers, times = plausible()
    found = suspect(layers, times * 1e3)
    assert found is not None
    assert found.unit == "us"


def test_seconds_called_milliseconds_are_doubted_on_a_device_that_would_be_too_fast():
    layers, times = plausible()
    found = suspect(layers, times * 1e-3 / 30)
    assert found is not None
    assert found.unit == "s"


@given(st.integers(0, 2**16), st.sampled_from([0.02, 0.2, 0.5]), st.sampled_from([1e3, 1e-3]))
def test_rows_in_another_unit_are_found(seed, share, factor):
    layers, times = plausible(seed=seed % 7)
    wrong = np.random.default_rng(seed).permutation(len(times))[: max(2, int(share * len(times)))]
    times[wrong] *= factor
    found = suspect(layers, times)
    assert found is not None
    assert found.unit is None
    if share < 0.5:
        assert set(found.rows) == set(wrong.tolist())


def test_doubts_are_told_with_the_option_that_settles_them(write):
    layers, times = plausible(40)
    lines = [
        f"conv_2d,float32,1,{x.inputs[0].shape[1]},{x.inputs[0].shape[2]},{x.inputs[0].shape[3]},{x.outputs[0].shape[3]},"
        f"{x.params['kernel_height']},{x.params['kernel_width']},1,1,same,none,{t * 1e3}"
        for x, t in zip(layers, times, strict=True)
    ]
    path = write(HEADER, *lines)
    table = read_table(path)
    with pytest.raises(DataError, match=r"--time-unit ms\|us\|s") as caught:
        checked(table, None)
    assert str(path) in str(caught.value)
    assert "time_ms" in str(caught.value)
    assert checked(table, "ms") is table
    fine = write(HEADER, *(line.rsplit(",", 1)[0] + f",{t}" for line, t in zip(lines, times, strict=True)))
    assert checked(read_table(fine), None) is not None


def test_the_same_layer_a_thousand_times_apart_is_doubted(write):
    table = read_table(write(HEADER, CONV, CONV.replace("0.5", "500")))
    doubt = table.suspicion()
    assert doubt is not None
    assert "lines 2 and 3" in table.doubt(doubt)


# --- predictions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["p.csv", "p.csv.gz"])
def test_predictions_stand_beside_the_rows(write, tmp_path, name):
    table = read_table(write(HEADER + ",my note,low_ms", CONV + ',"a, b",7'), times=False)
    out = tmp_path / name
    write_predictions(out, table.table, np.array([1.5]), np.array([1.0]), np.array([2.0]))
    data = out.read_bytes()
    rows = list(
        csv.DictReader((gzip.decompress(data) if name.endswith("gz") else data).decode().splitlines())
    )
    assert rows[0]["my note"] == "a, b"
    assert [float(rows[0][c]) for c in ("predicted_ms", "low_ms", "high_ms")] == [1.5, 1.0, 2.0]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_predictions_never_overwrite_their_table(write):
    path = write(HEADER, CONV)
    with pytest.raises(UsageError, match="another file"):
        write_predictions(path, read_table(path).table, np.ones(1), np.ones(1), np.ones(1))
    assert path.read_text().startswith(HEADER)


@pytest.mark.shared_data
def test_public_tables_are_read_and_not_doubted(shared_data):
    for name in ("conv_m60", "dense_1080ti"):
        table = read_table(shared_data / "latency" / "gpu_layers" / f"{name}.csv.gz")
        assert len(table.layers) > 9000
        assert table.suspicion() is None
        assert {layer.params["activation"] for layer in table.layers} == {"none", "relu", "sigmoid", "tanh"}


ENERGY = HEADER + ",energy_mj"


def test_energies_are_read_in_any_unit_or_as_power(write):
    two = CONV.replace("8,32", "8,33")
    table = read_table(write(ENERGY, CONV + ",1.5", two + ","))
    assert table.energies_mj[0] == 1.5
    assert np.isnan(table.energies_mj[1])
    for column, value in (("energy_uj", 1500), ("energy_j", 0.0015), ("power_w", 3), ("power_mw", 3000)):
        found = read_table(write(ENERGY.replace("energy_mj", column), f"{CONV},{value}"))
        assert found.energies_mj[0] == pytest.approx(1.5)
        assert not any("energy" in note or "power" in note for note in found.notes)
    assert read_table(write(ENERGY, CONV + ",")).energies_mj is None
    assert read_table(write(HEADER, CONV)).energies_mj is None


def test_energies_that_cannot_be_are_told(write):
    assert "line 2, column energy_mj: the energy is 0" in problem(write(ENERGY, CONV + ",0"))
    assert "'much' is no energy" in problem(write(ENERGY, CONV + ",much"))
    assert "both hold energy" in problem(write(ENERGY + ",power_w", CONV + ",1,2"))


def test_a_layer_that_was_measured_twice_has_the_median_of_its_energies(write):
    slow = CONV.replace(",0.5", ",0.7")
    table = read_table(write(ENERGY, CONV + ",1", slow + ",3", CONV.replace("8,32", "8,33") + ","))
    _, _, energies_mj, _ = table.distinct()
    assert energies_mj[0] == 2.0
    assert np.isnan(energies_mj[1])


def test_predicted_energies_are_a_column_where_they_are_known(write, tmp_path):
    table = read_table(write(HEADER, CONV)).table
    out = tmp_path / "p.csv"
    write_predictions(out, table, np.ones(1), np.ones(1), np.ones(1), np.array([2.5]))
    assert next(csv.DictReader(out.open()))["predicted_mj"] == "2.5"
    write_predictions(out, table, np.ones(1), np.ones(1), np.ones(1))
    assert "predicted_mj" not in out.read_text()
