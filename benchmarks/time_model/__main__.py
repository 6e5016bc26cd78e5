"""Predicted against measured time of whole networks, beside what FLOPs, nn-Meter's way and black boxes predict.

    python -m benchmarks.time_model --work DIR [--settings xnnpack1,int8] [--only-report]

For each setting: profiles this machine (3 minutes; float32 and int8 together), measures every network in several rounds,
fits edgetime and all baselines to the same probes, and prints the tables. Everything is kept in DIR as soon as it is
made, so the same command goes on where it was stopped; --only-report computes the tables again from what is there with
the present code.

A network's measured time is the median of its runs in the calmest of its rounds. Rounds that other work disturbed (told
by the canary, and by runs that differ) are left out and made up for. The noise floor is the error of predicting one
half of the calm rounds by the other half in the same way.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.csv_files import write_csv
from benchmarks.networks import catalogue
from benchmarks.time_model.baselines import BASELINES, NN_METER, Measured, fit_baseline, fit_nn_meter
from benchmarks.time_model.report import (
    OURS,
    Score,
    network_records,
    network_rows,
    score_records,
    scores,
    show_networks,
    show_scores,
    warnings,
)
from benchmarks.time_model.rounds import (
    MEASURED,
    Rounds,
    canary_level_us,
    compare_estimates,
    measure,
    still_open,
)
from profiler.calm import calm_of
from profiler.devices import open_target
from profiler.errors import EdgetimeError
from profiler.measurement import Profile, Timing, profile
from profiler.network import Network
from profiler.tflite import read_network
from timemodel.fitting import fit_profile, usable
from timemodel.model import SettingModel


@dataclass(frozen=True)
class Case:
    """One setting: how the target is opened, which networks run there, which profile it is learned from."""

    options: str
    dtype: str
    profile: str
    profiled: tuple[str, ...]


PREDICTORS = (OURS, "FLOPs", "FLOPs+bytes", NN_METER[0], "random forest", "boosted trees", "neural network")
"""As in --predictors; nn-Meter counts for both of its rows."""

BOTH = ("float32", "int8")
CASES = {
    "xnnpack1": Case("", "float32", "xnnpack1", BOTH),
    "int8": Case("", "int8", "xnnpack1", BOTH),
    "xnnpack2": Case("threads=2", "float32", "xnnpack2", ("float32",)),
    "builtin": Case("kernels=builtin", "float32", "builtin", ("float32",)),
    "tflite-runtime": Case("python={python}", "float32", "tflite-runtime", ("float32",)),
}
"""By name, as in --settings."""


def target_spec(base: str, options: str) -> str:
    """`base` with a case's options, in the way `open_target` reads them."""
    if not options:
        return base
    if base.startswith("ssh://"):
        return f"{base}{'&' if '?' in base else '?'}{options}"
    return f"{base}{',' if ':' in base else ':'}{options}"


def minutes_spent(rows: Sequence[Timing], pause_s: float = 30.0) -> float:
    """Minutes in which a profile was measured; gaps of more than `pause_s` are between two calls."""
    at = np.sort([row.at for row in rows])
    steps = np.diff(at)
    return float(steps[steps < pause_s].sum() / 60)


@dataclass(frozen=True)
class Learned:
    """What was learned from one profile: by predictor its model, and what it took."""

    models: dict[str, SettingModel]
    measured: Measured
    minutes: float
    canary_us: float

    def probes(self, dtype: str) -> int:
        """Probes of a dtype, of all kinds."""
        return sum(probe.dtype == dtype for probe, _ in self.measured)


def learn(db: Path, predictors: Sequence[str], say: Callable[[str], None]) -> Learned:
    """Our model and those of `PREDICTORS` that are asked for, from one profile."""
    with Profile.open(db) as store:
        key = next(iter(store.settings))
        raw = store.raw(key)
        measured = usable(store.measurements(key))
    begin = time.process_time()
    ours = fit_profile(db).setting(key)
    models = {OURS: ours}
    took = [f"{OURS} {time.process_time() - begin:.0f} s"]
    for name in predictors:
        begin = time.process_time()
        if name in BASELINES:
            models[name] = fit_baseline(name, ours, measured)
        elif name == NN_METER[0]:
            models |= dict(zip(NN_METER, fit_nn_meter(ours, measured), strict=True))
        else:
            continue
        took.append(f"{name} {time.process_time() - begin:.0f} s")
    say(f"{db.name}: {len(measured):,} probes; fitted, in seconds of processor: {', '.join(took)}")
    canaries = [canary for row in raw for canary in row.canaries_us]
    return Learned(models, measured, minutes_spent(raw), calm_of(canaries).calm_us if canaries else 0.0)


def speed(model: SettingModel, networks: Sequence[Network]) -> str:
    """How fast predicting is, once the model is loaded."""
    sixty = min(networks, key=lambda network: abs(len(network.layers) - 60))
    model.predict(sixty, "")
    times = []
    for _ in range(30):
        begin = time.perf_counter()
        model.predict(sixty, "")
        times.append(time.perf_counter() - begin)
    lines = [f"predict, {len(sixty.layers)} layers already read: {1e3 * np.median(times):.3f} ms"]
    layers = [layer for network in networks for layer in network.layers]
    # Copies of their own: what predicting works out of a layer is kept on it, and shared ones would look faster.
    layers = [dataclasses.replace(layers[i % len(layers)]) for i in range(100_000)]
    for what in ("never seen before", "predicted once before"):
        begin = time.perf_counter()
        model.predict_layers_ms(layers)
        rate = len(layers) / (time.perf_counter() - begin)
        lines.append(f"batch of {len(layers):,} layers, {what}: {rate:,.0f} layers/s")
    return "\n".join(lines)


class Benchmark:
    """One run: what is in the work folder, and what is still to do."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.work: Path = options.work
        self.networks: Path = options.networks or self.work / "networks"
        self.results: Path = options.results or self.work
        self.cases = [name for name in options.settings if self.possible(name)]
        self.profiles = {name: self.work / f"{name}.db" for name in (CASES[c].profile for c in CASES)}
        self.given = dict(part.partition("=")[::2] for part in options.profile)
        self.profiles |= {name: Path(path) for name, path in self.given.items()}
        self.until = time.monotonic() + options.stop_after
        self.rounds = Rounds(self.work / "rounds.jsonl")
        self.reported: set[str] = set()
        self.learned: dict[str, Learned] = {}

    def possible(self, name: str) -> bool:
        """Whether a setting can be had here."""
        if (
            name == "tflite-runtime"
            and not self.options.tflite_runtime_python
            and not self.options.only_report
        ):
            print("tflite-runtime: not run (it needs --tflite-runtime-python)")
            return False
        return True

    def spec(self, name: str) -> str:
        """The target of a setting."""
        options = CASES[name].options.format(python=self.options.tflite_runtime_python)
        return target_spec(self.options.target, options)

    def files(self, name: str) -> list[Path]:
        """Networks that are measured under a setting."""
        dtype = CASES[name].dtype
        files, missing = catalogue.network_files(self.networks, dtype, self.options.only)
        for network, reason in missing.items():
            self.report_once(f"left out: {network}: {reason}")
        return files

    def report_once(self, line: str) -> None:
        """Print what was not said before."""
        if line not in self.reported:
            self.reported.add(line)
            print(line, flush=True)

    def out_of_time(self) -> bool:
        """Whether --stop-after is over."""
        return time.monotonic() >= self.until

    def profile(self) -> None:
        """Profile what was not, or not for long enough; a profile that was named is taken as it is."""
        for case in (CASES[name] for name in self.cases):
            db = self.profiles[case.profile]
            if case.profile in self.given or self.out_of_time():
                continue
            left = self.options.minutes
            if db.exists():
                with Profile.open(db) as store:
                    left -= minutes_spent(store.raw())
            # Starting the agent and building the first probes takes part of the time, but leaves no rows.
            if left > 0.1 * self.options.minutes:
                name = next(name for name in self.cases if CASES[name].profile == case.profile)
                print(
                    profile(open_target(self.spec(name)), db, minutes=left, dtypes=case.profiled), flush=True
                )

    def measure(self) -> int:
        """Measure all networks, round by round over all settings; return how many measurements are still open."""
        files = {name: self.files(name) for name in self.cases}
        for number in range(1, self.options.rounds + 1):
            for name in self.cases:
                todo = still_open(self.rounds, name, files[name], number)
                if not todo or self.out_of_time():
                    continue
                with open_target(self.spec(name)) as target:
                    measure(
                        target, name, todo, self.rounds, self.options.seconds, self.until,
                        lambda line: print(line, flush=True),
                    )  # fmt: skip
        return sum(
            len(still_open(self.rounds, name, files[name], self.options.rounds)) for name in self.cases
        )

    def learned_from(self, db: Path) -> Learned:
        """What is learned from a profile; once, where two settings share it."""
        if str(db) not in self.learned:
            self.learned[str(db)] = learn(db, self.options.predictors, lambda line: print(line, flush=True))
        return self.learned[str(db)]

    def report(self) -> None:
        """Print all tables and write them as CSV."""
        records, table, said = [], [], []
        for name in self.cases:
            rounds = self.rounds.of(name)
            db = self.profiles[CASES[name].profile]
            if not rounds or not db.exists():
                print(f"{name}: not run (no {'measured networks' if db.exists() else 'profile'} yet)")
                continue
            learned = self.learned_from(db)
            known = {path.stem: path for path in self.files(name)}
            kept = {
                network: [row for row in rows if row.file_bytes == known[network].stat().st_size]
                for network, rows in rounds.items()
                if network in known
            }
            stale = [network for network, rows in kept.items() if len(rows) < len(rounds[network])]
            if stale:
                said.append(
                    f"{name}: rounds of another file of that name are left out: {', '.join(sorted(stale))}"
                )
            runtimes = {row.runtime for rows in kept.values() for row in rows}
            if runtimes != {learned.models[OURS].key}:
                raise EdgetimeError(
                    f"{db} was measured under {learned.models[OURS].key!r}, the networks under "
                    f"{', '.join(sorted(runtimes))}: name the profile that belongs to them."
                )
            read = {network: read_network(known[network]) for network, rows in kept.items() if rows}
            rows = network_rows(learned.models, read, kept)
            mine = scores(name, rows, learned.probes(CASES[name].dtype), learned.minutes)
            level = canary_level_us(row for some in kept.values() for row in some)
            print(
                f"\n=== {name}: {learned.models[OURS].key}, {CASES[name].dtype}; canary while measuring / while "
                f"profiling: {level / (learned.canary_us or level):.3f}"
            )
            print(show_networks(rows) + "\n")
            print(show_scores(mine))
            for network, some in kept.items():
                if some and some[-1].error:
                    print(f"  cannot run: {network}: {some[-1].error}"[:118])
            if self.options.estimates:
                print(f"\nerror of one half of the rounds by the other, by definition (in use: {MEASURED}):")
                for what, errors in compare_estimates(kept).items():
                    print(f"  {what:34s} mean {errors['mean']:6.2%}   90th percentile {errors['p90']:6.2%}")
            said += warnings(name, rows, mine)
            records += network_records(name, rows)
            table += mine
        self.finish(records, table, said)

    def finish(self, records: list[dict], table: list[Score], said: list[str]) -> None:
        """The summary of all settings, the warnings, and the files."""
        if not table:
            return
        print("\n=== all settings\n" + show_scores(table))
        for line in said:
            print("warning: " + line)
        self.results.mkdir(parents=True, exist_ok=True)
        write_csv(self.results / "time_model.csv", score_records(table))
        write_csv(self.results / "time_model_networks.csv", records)
        print(f"\n{self.results / 'time_model.csv'}, {self.results / 'time_model_networks.csv'}")
        if "xnnpack1" in self.cases and str(self.profiles["xnnpack1"]) in self.learned:
            files = self.files("xnnpack1")
            print(
                "\n"
                + speed(
                    self.learned_from(self.profiles["xnnpack1"]).models[OURS], [*map(read_network, files)]
                )
            )


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--work", type=Path, required=True, help="folder for profiles, measured rounds, networks and results")
    add("--settings", default=",".join(CASES), help=f"of {', '.join(CASES)}; default: all that can be had")
    add("--minutes", type=float, default=3.0, help="of profiling per setting, xnnpack1 and int8 together")
    add("--rounds", type=int, default=4, help="times that every network is measured")
    add("--seconds", type=float, default=0.7, help="of running per network and round")
    add("--networks", type=Path, help="folder of the converted networks; default: DIR/networks")
    add("--only", default="", help="names of networks, with commas between; default: all")
    add("--profile", action="append", default=[], metavar="SETTING=FILE", help="take this profile as it is")
    add("--tflite-runtime-python", metavar="PATH", help="an interpreter that has tflite-runtime 2.14")
    add(
        "--predictors",
        default=",".join(PREDICTORS),
        help="what to compare; default: all; edgetime is always in",
    )
    add("--target", default="local", help="local, or ssh://user@host")
    add("--results", type=Path, help="folder for the CSV files; default: DIR")
    add("--stop-after", type=float, default=float("inf"), metavar="SECONDS", help="the same command goes on")
    add("--estimates", action="store_true", help="compare definitions of the measured time")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--only-measure", action="store_true", help="what is converted; no profile, no report")
    part.add_argument("--only-report", action="store_true", help="from what is stored, with the present code")
    options = parser.parse_args(arguments)
    options.settings = options.settings.split(",")
    options.predictors = options.predictors.split(",")
    strange = [name for name in options.predictors if name not in PREDICTORS]
    if strange:
        parser.error(f"no such predictor: {', '.join(strange)}; there are {', '.join(PREDICTORS)}")
    options.only = [name for name in options.only.split(",") if name]
    unknown = [name for name in options.settings if name not in CASES]
    if unknown:
        parser.error(f"no such setting: {', '.join(unknown)}; there are {', '.join(CASES)}")
    wrong = [p for p in options.profile if p.partition("=")[0] not in {c.profile for c in CASES.values()}]
    if wrong:
        parser.error(f"--profile {wrong[0]}: write SETTING=FILE")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    options = parse(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    run = Benchmark(options)
    if not options.only_report:
        wanted = [name for name in options.only if name in catalogue.names()] or None
        if not options.only_measure and (not options.only or wanted):
            catalogue.convert(run.networks, wanted or (), lambda line: print(line, flush=True))
        if not options.only_measure:
            run.profile()
        left = run.measure()
        if left:
            print(f"{left} measurements are still open: the same command goes on.")
        if options.only_measure or left:
            return
    run.report()


if __name__ == "__main__":
    main()
