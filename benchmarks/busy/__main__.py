"""What a profile is worth that was taken beside busy neighbours: errors of whole networks against times met in calm.

    python -m benchmarks.busy --work DIR [--settings now,bursts,always,memory] [--minutes 3]

Profiles this machine as it is (now), under own load on all cores half of the time (bursts) and all the time (always), and beside
own processes that stream memory on all cores but one (memory). Measures every network of the catalogue in float32 and int8 until
its calm runs agree within 3%; networks that do not, or that are judged by operators which no probe covers, are named. Each profile
is fitted twice: by edgetime's rule, and, as what there was before, by the fastest sample of each probe whatever the canary said.
Prints per setting the share of calm time, mean error, how many networks are within 5% and 10%, how many of the 90% intervals held
and how wide they are, then the same per number type and kind of network. What was measured stays in DIR: the same command goes on.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.busy.load import SETTINGS, own_load
from benchmarks.csv_files import write_csv
from benchmarks.networks import catalogue
from benchmarks.time_model.rounds import Rounds, calm, canary_level_us, measure, still_open
from profiler.devices import open_target
from profiler.measurement import Profile, profile
from profiler.progress import silent
from profiler.tflite import read_network
from timemodel import TimeModel, fit_profile
from timemodel.fitting import fit_setting, usable
from timemodel.model import SettingModel

DTYPES = ("float32", "int8")
AGREE = 0.03
RULES = ("edgetime", "fastest sample")


@dataclass(frozen=True)
class Row:
    """One network under one setting and rule; times in ms, `kind` is the operator in which it spends most time."""

    setting: str
    rule: str
    network: str
    dtype: str
    kind: str
    calm_ms: float
    predicted_ms: float
    low_ms: float
    high_ms: float
    coverage: float

    @property
    def error(self) -> float:
        """Relative."""
        return self.predicted_ms / self.calm_ms - 1.0

    @property
    def held(self) -> bool:
        """Whether the interval holds the calm time."""
        return self.low_ms <= self.calm_ms <= self.high_ms

    @property
    def half_width(self) -> float:
        """Half of the interval relative to the prediction."""
        return (self.high_ms - self.low_ms) / 2 / self.predicted_ms


def true_times(
    work: Path, files: dict[str, list[Path]], rounds: int, seconds: float
) -> dict[str, dict[str, float]]:
    """Times in ms in calm by number type and network, measured until calm rounds agree within `AGREE`."""
    kept = Rounds(work / "rounds.jsonl")
    for number in range(2, rounds + 1):
        for dtype in DTYPES:
            agreed = _agreed(kept, dtype)
            todo = [one for one in still_open(kept, dtype, files[dtype], number) if one[1].stem not in agreed]
            with open_target("local") as target:
                measure(target, dtype, todo, kept, seconds, say=lambda line: print(line, flush=True))
    found = {dtype: _agreed(kept, dtype) for dtype in DTYPES}
    for dtype in DTYPES:
        level = canary_level_us(row for rows in kept.of(dtype).values() for row in rows)
        for path in files[dtype]:
            if path.stem not in found[dtype]:
                count = len(calm(kept.of(dtype).get(path.stem, []), level))
                print(
                    f"left out: {path.stem} {dtype}: {count} calm rounds, and they do not agree within {AGREE:.0%}"
                )
    return found


def _agreed(kept: Rounds, dtype: str) -> dict[str, float]:
    """The least median of networks whose two fastest calm rounds agree."""
    by_network = kept.of(dtype)
    level = canary_level_us(row for rows in by_network.values() for row in rows)
    found = {}
    for network, rows in by_network.items():
        times = sorted(float(row.median_us or 0.0) / 1e3 for row in calm(rows, level))
        if len(times) > 1 and times[1] <= (1 + AGREE) * times[0]:
            found[network] = times[0]
    return found


def fastest_sample(db: Path, model: TimeModel) -> TimeModel:
    """The same profile read as before: the fastest sample of each probe, whatever the canary said."""
    with Profile.open(db) as store:
        key = next(iter(store.settings))
        rows, events = store.raw(key), store.events(key)
        times = store.measurements(key)
    least: dict[str, float] = {}
    for row in rows:
        if row.error is None and row.min_us:
            least[row.probe_key] = min(row.min_us, least.get(row.probe_key, float("inf")))
    read = [
        replace(time, time_us=least[time.probe_key], calm=True, uncertainty=0.0)
        for time in times
        if time.probe_key in least
    ]
    operators, terms = fit_setting(usable(read), silent, 0, events)
    known = model.setting(key)
    return TimeModel(
        model.device, {key: SettingModel(key, known.setting, known.fingerprint, operators, terms)}
    )


def rows_of(
    setting: str,
    rule: str,
    model: TimeModel,
    files: dict[str, list[Path]],
    truth: dict[str, dict[str, float]],
) -> list[Row]:
    """Predictions of all networks beside their times in calm."""
    found = []
    for dtype in DTYPES:
        for path in files[dtype]:
            if path.stem not in truth[dtype]:
                continue
            one = model.predict(read_network(path))
            most: dict[str, float] = {}
            for layer in one.layers:
                most[layer.op] = most.get(layer.op, 0.0) + layer.predicted_ms
            found.append(
                Row(
                    setting,
                    rule,
                    path.stem,
                    dtype,
                    max(most, key=lambda op: most[op]),
                    truth[dtype][path.stem],
                    one.predicted_ms,
                    one.low_ms,
                    one.high_ms,
                    one.coverage,
                )
            )
    return found


def line(name: str, rows: Sequence[Row], share: str = "") -> str:
    """One row of the table."""
    errors = [abs(row.error) for row in rows]
    within = [sum(error <= limit for error in errors) / len(errors) for limit in (0.05, 0.10)]
    held = sum(row.held for row in rows) / len(rows)
    width = statistics.median(row.half_width for row in rows)
    bias = statistics.median(row.error for row in rows)
    return (
        f"{name:42s} {share:>6s} {len(rows):4d} {statistics.mean(errors):7.1%} {bias:+7.1%} {within[0]:6.0%} {within[1]:6.0%} "
        f"{held:6.0%} {width:7.1%}"
    )


HEAD = f"{'':42s} {'calm':>6s} {'n':>4s} {'error':>7s} {'median':>7s} {'in 5%':>6s} {'in 10%':>6s} {'held':>6s} {'±':>7s}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.busy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--settings", default=",".join(SETTINGS), help=f"of {', '.join(SETTINGS)}")
    parser.add_argument("--minutes", type=float, default=3.0, help="of profiling per setting")
    parser.add_argument("--rounds", type=int, default=6, help="most rounds of measuring each network in calm")
    parser.add_argument("--seconds", type=float, default=0.5, help="of running per network and round")
    parser.add_argument(
        "--networks", type=Path, help="folder of the converted networks; default: DIR/networks"
    )
    parser.add_argument(
        "--only-report", action="store_true", help="from what is stored, with the present code"
    )
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    folder = options.networks or options.work / "networks"
    if not options.only_report:
        catalogue.convert(folder, (), lambda text: print(text, flush=True))
    files = {dtype: catalogue.network_files(folder, dtype)[0] for dtype in DTYPES}
    truth = true_times(options.work, files, 0 if options.only_report else options.rounds, options.seconds)
    rows: list[Row] = []
    table = []
    for setting in options.settings.split(","):
        db = options.work / f"{setting}.db"
        if not db.exists() and not options.only_report:
            with own_load(setting):
                print(profile(open_target("local"), db, minutes=options.minutes, dtypes=DTYPES), flush=True)
        if not db.exists():
            print(f"{setting}: not run")
            continue
        begin = time.monotonic()
        model = fit_profile(db)
        conditions = model.setting().conditions
        assert conditions is not None
        print(f"{setting}: {conditions.in_words()} Fitted in {time.monotonic() - begin:.0f} s.", flush=True)
        for rule, fitted in zip(RULES, (model, fastest_sample(db, model)), strict=True):
            mine = rows_of(setting, rule, fitted, files, truth)
            table.append(line(f"{setting}: {rule}", mine, f"{conditions.calm_share:.0%}"))
            rows += mine
    print("\n" + HEAD)
    print("\n".join(table))
    for setting in dict.fromkeys(row.setting for row in rows):
        mine = [row for row in rows if row.setting == setting and row.rule == RULES[0]]
        print(f"\n{setting}, {RULES[0]}\n{HEAD}")
        for part in ("dtype", "kind"):
            for value in dict.fromkeys(getattr(row, part) for row in mine):
                print(line(f"  {value}", [row for row in mine if getattr(row, part) == value]))
        for row in sorted(mine, key=lambda row: -abs(row.error))[:8]:
            print(
                f"    {row.network:32s} {row.dtype:8s} {row.calm_ms:9.4f} ms, predicted {row.predicted_ms:9.4f} "
                f"({row.error:+.1%}), covered {row.coverage:.0%}"
            )
    if rows:
        write_csv(options.work / "busy.csv", [asdict(row) for row in rows])
        print(f"\n{options.work / 'busy.csv'}")


if __name__ == "__main__":
    main()
