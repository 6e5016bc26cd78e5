from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.devices import agent
from profiler.errors import ProfileError, UsageError
from profiler.measurement import Profile, import_results, write_bundle
from profiler.measurement.bundle import cut_out
from profiler.operators import conv_2d, fully_connected
from profiler.probes import Probe

PROBES = [
    *(Probe("layer", (conv_2d(4, 4, 3, channels),)) for channels in range(1, 6)),
    Probe("chain", (fully_connected(64, 64), fully_connected(64, 64))),
]
POOLS = [np.random.RandomState(i).bytes(5000) for i in range(2)]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as it comes back from a board: bundle, agent and all results."""
    folder = tmp_path_factory.mktemp("stick")
    write_bundle(folder / "probes.zip", PROBES, passes=2, settings=[("xnnpack", 1), ("builtin", 1)])
    done = run(folder)
    assert done.returncode == 0, done.stderr
    return folder


def run(folder: Path, output: str = "out.jsonl") -> subprocess.CompletedProcess:
    command = [sys.executable, "agent.py", "probes.zip", "-o", output]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# --- Cutting out --------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.one_of(st.binary(max_size=300), st.tuples(st.sampled_from([0, 1]), st.integers(1, 5000))),
        max_size=8,
    )
)
def test_what_is_cut_out_can_be_put_back(parts: list) -> None:
    content = b"".join(part if isinstance(part, bytes) else POOLS[part[0]][: part[1]] for part in parts)
    skeleton, cuts = cut_out(content, POOLS)
    assert agent.restore(skeleton, cuts, POOLS) == content
    assert len(skeleton) + sum(length for _, _, length in cuts) == len(content)


def test_long_prefixes_are_cut_out() -> None:
    content = b"head" + POOLS[0] + b"middle" + POOLS[1][:2000] + POOLS[1][:1500] + b"tail"
    skeleton, cuts = cut_out(content, POOLS)
    assert skeleton == b"headmiddletail"
    assert cuts == [[4, 0, 5000], [5010, 1, 2000], [7010, 1, 1500]]


# --- Writing ------------------------------------------------------------------------------------------------


def test_a_bundle_holds_the_probes_as_they_are_built(board: Path) -> None:
    with zipfile.ZipFile(board / "probes.zip") as archive:
        manifest = json.loads(archive.read("manifest.json"))
        pools = [archive.read(name) for name in manifest["pools"]]
        rows = [row for row in manifest["probes"] if row["kind"] != "empty"]
        assert [row["key"] for row in rows] == [probe.key for probe in PROBES]
        for row, probe in zip(rows, PROBES, strict=True):
            assert agent.restore(archive.read(row["file"]), row["cuts"], pools) == probe.build()
    assert (board / "agent.py").read_bytes() == Path(agent.__file__).read_bytes()


def test_weights_are_stored_once(tmp_path: Path) -> None:
    wide = [Probe("layer", (fully_connected(1000, 1000 + i),)) for i in range(10)]
    small = write_bundle(tmp_path / "small.zip", PROBES)
    large = write_bundle(tmp_path / "large.zip", wide)
    assert large.size_bytes < small.size_bytes + 100_000
    assert sum(len(probe.build()) for probe in wide) > 40e6


def test_the_summary_says_what_to_do(tmp_path: Path) -> None:
    told: list[float] = []
    summary = write_bundle(tmp_path / "p.zip", PROBES, progress=lambda fraction, note: told.append(fraction))
    assert "python3 agent.py p.zip -o out.jsonl" in str(summary)
    assert summary.to_dict()["probes"] == 7  # with the empty one
    assert told[-1] == 1.0


def test_another_program_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text("print('mine')")
    with pytest.raises(UsageError, match=r"agent.py is another program"):
        write_bundle(tmp_path / "p.zip", PROBES)
    assert (tmp_path / "agent.py").read_text() == "print('mine')"
    assert not (tmp_path / "p.zip").exists()


def test_bad_arguments(tmp_path: Path) -> None:
    for probes, options in (
        ([], {}),
        (PROBES, {"passes": 0}),
        (PROBES, {"settings": [("fast", 1)]}),
        (PROBES, {"settings": [("xnnpack", 0)]}),
    ):
        with pytest.raises(UsageError):
            write_bundle(tmp_path / "p.zip", probes, **options)
    assert list(tmp_path.iterdir()) == []


# --- On the board -------------------------------------------------------------------------------------------


def test_results_cover_every_pass_setting_and_probe(board: Path) -> None:
    header, *lines = lines_of(board / "out.jsonl")
    assert header["type"] == "header"
    assert {(line["pass"], line["setting"], line["probe"]) for line in lines} == {
        (number, setting, probe) for number in (0, 1) for setting in (0, 1) for probe in range(7)
    }
    assert len(lines) == 28
    assert all(line["median_us"] > 0 for line in lines)
    assert all(len(line["canaries_us"]) == 2 for line in lines)


def test_goes_on_where_it_was_killed_and_drops_a_torn_line(board: Path, tmp_path: Path) -> None:
    for name in ("probes.zip", "agent.py"):
        (tmp_path / name).write_bytes((board / name).read_bytes())
    whole = (board / "out.jsonl").read_bytes().splitlines(keepends=True)
    kept = b"".join(whole[:11])
    (tmp_path / "out.jsonl").write_bytes(kept + whole[11][:40])
    assert run(tmp_path).returncode == 0
    assert (tmp_path / "out.jsonl").read_bytes().startswith(kept)
    lines = lines_of(tmp_path / "out.jsonl")[1:]
    assert len(lines) == len({(line["pass"], line["setting"], line["probe"]) for line in lines}) == 28


def test_killing_it_for_real(board: Path, tmp_path: Path) -> None:
    for name in ("probes.zip", "agent.py"):
        (tmp_path / name).write_bytes((board / name).read_bytes())
    output = tmp_path / "out.jsonl"
    command = [sys.executable, "agent.py", "probes.zip", "-o", "out.jsonl"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (output.exists() and output.read_bytes().count(b"\n") > 3):
        time.sleep(0.005)
    process.kill()
    process.wait()
    before = output.read_bytes()
    before = before[: before.rfind(b"\n") + 1]
    assert run(tmp_path).returncode == 0
    assert output.read_bytes().startswith(before)
    assert len(lines_of(output)) == 29


def test_a_probe_that_kills_the_runtime_is_recorded(board: Path, tmp_path: Path) -> None:
    (tmp_path / "probes.zip").write_bytes((board / "probes.zip").read_bytes())
    source = (board / "agent.py").read_text()
    deadly = "if len(blob) == %d:\n            os.kill(os.getpid(), 11)\n        model = self.load(blob)\n        sampler"
    assert "model = self.load(blob)\n        sampler" in source
    mine = source.replace("model = self.load(blob)\n        sampler", deadly % len(PROBES[2].build()))
    (tmp_path / "agent.py").write_text(mine)
    assert run(tmp_path).returncode == 0
    lines = lines_of(tmp_path / "out.jsonl")[1:]
    failed = [line for line in lines if "error" in line]
    assert {line["key"] for line in failed} == {PROBES[2].key}
    assert len(failed) == 2  # once per setting, not once per pass
    assert "signal 11" in failed[0]["error"]
    assert len(lines) == 26


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "probes.zip").write_bytes(b"PK nonsense"), "zip"),
        (lambda folder: (folder / "probes.zip").unlink(), "probes.zip"),
        (
            lambda folder: (folder / "out.jsonl").write_text('{"type": "header", "bundle": "another"}\n'),
            "another bundle",
        ),
    ],
)
def test_troubles_on_the_board_are_one_sentence(
    board: Path, tmp_path: Path, change: Any, message: str
) -> None:
    for name in ("probes.zip", "agent.py"):
        (tmp_path / name).write_bytes((board / name).read_bytes())
    change(tmp_path)
    done = run(tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


# --- Importing ----------------------------------------------------------------------------------------------


def test_import_makes_a_profile(board: Path, tmp_path: Path) -> None:
    summary = import_results(board / "out.jsonl", tmp_path / "d.db")
    assert (summary.imported, summary.known, summary.problems) == (28, 0, ())
    with Profile.open(tmp_path / "d.db") as store:
        assert len(store.settings) == 2
        for setting in store.settings:
            times = store.measurements(setting)
            timed = {row.probe_key for row in times if row.time_us and row.kind != "empty"}
            assert timed == {probe.key for probe in PROBES}
            assert {row.meetings for row in times} == {2}
            assert all(row.attempt == 0 for row in store.raw(setting))
        lines = lines_of(board / "out.jsonl")[1:]
        assert sorted(row.p20_us for row in store.raw()) == sorted(line["p20_us"] for line in lines)


def test_importing_again_adds_nothing(board: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.jsonl"
    part.write_bytes(b"".join((board / "out.jsonl").read_bytes().splitlines(keepends=True)[:9]))
    assert import_results(part, tmp_path / "d.db").imported == 8
    summary = import_results(board / "out.jsonl", tmp_path / "d.db")
    assert (summary.imported, summary.known) == (20, 8)
    assert "8 were there already" in str(summary)


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line[:50],
        lambda line: b"nonsense",
        lambda line: b"[1, 2]",
        lambda line: line.replace(b'"median_us": ', b'"median_us": -'),
        lambda line: line.replace(b'"median_us"', b'"medium_us"'),
        lambda line: line.replace(b'"setting": 0', b'"setting": 7'),
        lambda line: line.replace(b'"samples": ', b'"samples": 0.5, "were": '),
        lambda line: line.replace(b'"p20_us": ', b'"p20_us": 1e99, "was": '),
        lambda line: line.replace(b'"canaries_us": [', b'"canaries_us": [1.0, '),
        lambda line: line.replace(b'"canaries_us": [', b'"canaries_us": 1.0, "others": ['),
        lambda line: line.replace(b'"pass": 0', b'"pass": "x"'),
        lambda line: line.replace(b"conv_2d", b"conv_3d_or_so").replace(b"layers", b"liars"),
        lambda line: line.replace(b'"kind": "layer"', b'"kind": "chain"'),
        lambda line: b"\xff" + line,
        lambda line: b"[" * 100_000,
    ],
)
def test_a_damaged_line_is_named_and_the_others_are_kept(board: Path, tmp_path: Path, damage: Any) -> None:
    lines = (board / "out.jsonl").read_bytes().splitlines()
    assert damage(lines[4]) != lines[4]
    lines[4] = damage(lines[4])
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"\n".join(lines))
    summary = import_results(path, tmp_path / "d.db")
    assert summary.imported == 27
    assert len(summary.problems) == 1
    assert "line 5: left out" in summary.problems[0]
    assert "\n" not in summary.problems[0]
    json.dumps(summary.to_dict())


@pytest.mark.parametrize(
    "content", [b"", b"nonsense\n", b'{"type": "header"}\n', b'{"type": "time"}\n', b"\xff\xfe"]
)
def test_a_file_that_does_not_begin_as_it_should(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(content)
    with pytest.raises(ProfileError, match="line 1"):
        import_results(path, tmp_path / "d.db")
    assert not (tmp_path / "d.db").exists()


def test_a_file_without_measurements(board: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes((board / "out.jsonl").read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(ProfileError, match="holds no measurements"):
        import_results(path, tmp_path / "d.db")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nix.jsonl"):
        import_results(tmp_path / "nix.jsonl", tmp_path / "d.db")


def test_results_of_another_device_are_refused(board: Path, tmp_path: Path) -> None:
    import_results(board / "out.jsonl", tmp_path / "d.db")
    header, rest = (board / "out.jsonl").read_text().split("\n", 1)
    other = json.loads(header)
    other["fingerprint"]["cpu"] = "Cortex-A53"
    (tmp_path / "other.jsonl").write_text(json.dumps(other) + "\n" + rest)
    with pytest.raises(ProfileError, match="another device"):
        import_results(tmp_path / "other.jsonl", tmp_path / "d.db")
