"""The report's part on selections: what is in the picture, the table and the thumbnails."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from edgetime.report import pictures_of, write_report, write_selection
from edgetime.report.page import Page
from edgetime.report.selection import add_to, is_selection
from edgetime.report.thumbnails import data_uri, png
from profiler.errors import UsageError
from selector.candidates import Answers
from selector.runtime import PolicyNetwork


def candidate(name, ms, accuracy, on_front, **more):
    value = {"network": f"/somewhere/{name}.tflite", "predicted_ms": ms, "low_ms": ms, "high_ms": ms}
    sizes = {
        "peak_memory_bytes": 1000,
        "file_bytes": 2000,
        "energy_mj": None,
        "dtype": "float32",
        "at_least": False,
    }
    return {**value, **sizes, "accuracy": accuracy, "on_front": on_front, "over": [], **more}


def static(accuracies=(0.8, 0.7, 0.9), device="board", judged_on="60 rows of d.npz"):
    front = (True, False, True)
    rows = zip("abc", (1.0, 2.0, 4.0), accuracies, front, strict=True)
    return {
        "device": device,
        "budget_ms": 5.0,
        "recommended": "/somewhere/c.tflite",
        "judged_on": judged_on,
        "candidates": [candidate(*row) for row in rows],
    }


def point(name, kind, accuracy, ms, shares=(1.0,), dtype="", expected=None):
    times = dict.fromkeys(("mean_ms", "p50_ms", "p90_ms", "p99_ms", "longest_ms"), ms)
    return {
        "name": name, "kind": kind, "accuracy": accuracy, **times, "stop_shares": list(shares),
        "expected_accuracy": expected, "dtype": dtype,
    }  # fmt: skip


def by_input(kind="cascade", shares=(0.7, 0.3)):
    baselines = [
        point("tiny", "single", 0.7, 1.0, dtype="float32"),
        point("big", "single", 0.9, 10.0, dtype="int8"),
        point("oracle", "oracle", 0.95, 1.5),
        point("all networks, combined", "ensemble", 0.91, 11.0),
    ]
    return {
        "device": "board",
        "judged_on": "60 rows of d.npz",
        "chosen": point(f"tiny > big ({kind})", kind, 0.9, 4.0, shares, expected=0.89),
        "front": [point("tiny > big", kind, 0.88, 3.0)],
        "baselines": baselines,
        "networks": [{"name": "tiny"}, {"name": "big"}],
        "stages": [{"network": 0}, {"network": 1}] if kind == "cascade" else [],
        "settings": {"choices": [1, 0]} if kind == "premodel" else {},
        "promise": {"sentence": "At most a point is lost."} if kind == "cascade" else None,
        "notes": ["A note."],
        "expected": {"single_ms": 10.0, "single_accuracy": 0.9},
    }


def page_with(*values):
    page = Page("t")
    add_to(page, values)
    return page


def shown(figure):
    return {one["name"]: one for one in figure["series"]}


def test_the_front_is_joined_and_the_recommended_network_has_a_star():
    (figure,) = page_with(static())._figures
    series = shown(figure)
    assert series["front"]["x"] == [1.0, 4.0]
    assert series["front"]["y"] == [80.0, 90.0]
    assert series["beaten by others"]["x"] == [2.0]
    assert (series["recommended"]["x"], series["recommended"]["symbol"]) == ([4.0], "star")
    assert series["budget"]["x"] == [5.0, 5.0]


def test_without_accuracy_times_are_bars():
    (figure,) = page_with(static((None,) * 3, judged_on=""))._figures
    (bars,) = figure["series"]
    assert bars["kind"] == "hbars"
    assert bars["y"] == ["a", "b", "c"]


def test_several_devices_are_a_table_of_networks_by_devices():
    html = page_with(static(), static(device="phone")).render()
    assert "Every network on every device" in html
    assert "<th class=number>phone</th>" in html or "<th>phone</th>" in html
    assert "4.00 ms *" in html


def test_policies_of_the_same_rows_are_in_one_picture_with_oracle_and_singles():
    page = page_with(by_input(), by_input("premodel", (0.1, 0.9)))
    over_time, cascade, premodel = page._figures
    series = shown(over_time)
    for name in ("cascade front", "premodel front", "single, float", "single, int", "oracle", "ensemble"):
        assert len(series[name]["x"]) == 1, name
    assert series["chosen"]["x"] == [4.0, 4.0]
    assert over_time["log_x"]
    assert (cascade["series"][0]["x"], cascade["series"][0]["y"]) == (["1: tiny", "2: big"], [70.0, 30.0])
    assert premodel["series"][0]["x"] == ["1: big", "2: tiny"]
    html = page.render()
    assert "At most a point is lost." in html
    assert "2.50x" in html
    assert "89.00%" in html


def test_a_folder_with_a_selection_is_reported(tmp_path):
    (tmp_path / "selection.json").write_text(json.dumps([static(), static(device="phone")]))
    (tmp_path / "by_input").mkdir()
    (tmp_path / "by_input" / "selection.json").write_text(json.dumps(by_input()))
    assert write_report(tmp_path, tmp_path / "r.html") == ["3 selections"]
    assert "Which network for which input" in (tmp_path / "r.html").read_text("utf-8")


def test_what_is_no_selection_is_named(tmp_path):
    (tmp_path / "selection.json").write_text('{"device": "d"}')
    with pytest.raises(UsageError, match=r"selection\.json cannot be read .*select --json"):
        write_report(tmp_path, tmp_path / "r.html")
    assert not is_selection([])


def pixels_of(content):
    """A PNG file read back, without its checksums."""
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    place, parts = 8, {}
    while place < len(content):
        (length,) = struct.unpack_from(">I", content, place)
        kind, data = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        (check,) = struct.unpack_from(">I", content, place + 8 + length)
        assert check == zlib.crc32(kind + data)
        parts[kind], place = data, place + 12 + length
    width, height, depth, color, *_ = struct.unpack(">IIBBBBB", parts[b"IHDR"])
    channels = {0: 1, 2: 3}[color]
    lines = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(height, 1 + width * channels)
    assert depth == 8
    assert not lines[:, 0].any()  # no filter
    return lines[:, 1:].reshape(height, width, channels)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_holds_its_pixels(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, channels)).astype(np.uint8)
    assert np.array_equal(pixels_of(png(pixels)), pixels)


def test_images_of_any_range_are_shown_alike():
    image = np.arange(10 * 10 * 3).reshape(10, 10, 3) % 256
    image[0, 0], image[0, 1] = 0, 255
    start = "data:image/png;base64,"
    wanted = pixels_of(base64.b64decode(data_uri(image.astype(np.uint8)).removeprefix(start)))
    for values in (image / 255, image.astype(np.float32), image / 127.5 - 1, (image - 128).astype(np.int8)):
        assert np.array_equal(pixels_of(base64.b64decode(data_uri(values).removeprefix(start))), wanted)
    large = pixels_of(base64.b64decode(data_uri(np.zeros((400, 200, 4))).removeprefix(start)))
    assert max(large.shape[:2]) <= 96


def answers(log_p):
    networks = tuple(PolicyNetwork(f"n{i}", f"n{i}", 1.0 + i) for i in range(len(log_p)))
    return Answers(
        networks, tuple(map(Path, "ab")), np.log(np.asarray(log_p, np.float32)), np.array([0, 1, 1])
    )


def test_hardest_and_easiest_rows_by_what_all_networks_think_of_the_right_class():
    found = answers([[[0.9, 0.1], [0.9, 0.1], [0.5, 0.5]], [[0.8, 0.2], [0.7, 0.3], [0.1, 0.9]]])
    x = np.zeros((3, 8, 8, 3), np.uint8)
    pictures = pictures_of(found, x, count=1)
    assert [(heading, caption) for heading, _, caption in pictures] == [
        ("Hardest", "class 1, n1 says 0; 0 of 2 right"),
        ("Easiest", "class 0; 2 of 2 right"),
    ]
    assert pictures_of(found, np.zeros((3, 40)), 1) == []
    assert pictures_of(found, {"a": x, "b": x}, 1) == []


def test_names_from_files_cannot_break_the_page(tmp_path):
    value = by_input()
    value["chosen"]["name"] = "<script>alert(1)</script>"
    write_selection([value], tmp_path / "p.html", [("Hardest", "data:image/png;base64,AA", "<b>")])
    html = (tmp_path / "p.html").read_text("utf-8")
    assert "<script>alert" not in html
    assert "&lt;b&gt;" in html


def test_several_devices_are_one_picture_of_accuracy_over_time_with_one_front():
    figures = page_with(static(), static(accuracies=(0.7, 0.95, 0.9), device="phone"))._figures
    series = shown(figures[0])
    assert (series["front"]["x"], series["front"]["y"]) == ([1.0, 2.0], [80.0, 95.0])
    assert set(series) == {"front", "board", "phone"}


def test_without_accuracy_devices_of_known_energy_are_shown_by_time_and_energy():
    joules = static((None,) * 3, device="accelerator", judged_on="")
    joules["candidates"] = [
        {**one, "energy_mj": mj} for one, mj in zip(joules["candidates"], (3.0, 2.0, 9.0), strict=True)
    ]
    page = page_with(joules, static((None,) * 3, judged_on=""))
    series = shown(page._figures[0])
    assert (series["front"]["x"], series["front"]["y"]) == ([1.0, 2.0], [3.0, 2.0])
    assert set(series) == {"front", "accelerator"}
    html = page.render()
    assert "2.00 ms, 2 mJ" in html
    assert "2.00 ms, -" in html
    assert html.index("Every network on every device") < html.index("Which network for accelerator")
