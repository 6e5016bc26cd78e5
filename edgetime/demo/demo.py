"""The demo: every step on this machine, on digits that come with scikit-learn."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edgetime import units
from edgetime.demo.stages import Stages
from profiler.errors import BudgetError
from profiler.files import replacing, write_json, write_text
from profiler.locks import owned
from profiler.progress import ProgressCallback

BUDGET_SHARE = 0.42
"""Budget of the compression, as a share of the original's predicted time: aims at more than twice as fast."""


class Listener(Protocol):
    """What shows the demo as it goes: `edgetime.terminal.Terminal` is one."""

    def note(self, text: str) -> None:
        """Show a sentence."""

    def progress(self, title: str) -> contextlib.AbstractContextManager[ProgressCallback]:
        """Show progress of one stage."""


@dataclass
class Demo:
    """One run of the demo in a folder. Stages that are finished are skipped when it is run again there.

    `minutes` are for profiling this machine, `epochs` for training the original network, `compress_minutes` and
    `baseline_minutes` at most for the compression and for the cut by one multiplier that it is compared with.
    """

    folder: Path
    listener: Listener
    minutes: float = 2.0
    seed: int = 0
    epochs: int = field(default=30, kw_only=True)
    compress_minutes: float = field(default=2.0, kw_only=True)
    baseline_minutes: float = field(default=1.25, kw_only=True)

    def run(self) -> dict[str, Any]:
        """Do what is not done yet: ``report``, ``networks`` (rows of the last table), ``speedup_measured`` and ``drop_points``.

        The points lost are a mean over ``trainings``.
        """
        with owned(self.folder, "--out"):
            self._run_stages(Stages(self.folder))
            return self._summary()

    def _run_stages(self, stages: Stages) -> None:
        """Do what is not done yet, all but the summary."""

        def stage(
            name: str,
            outputs: list[str],
            work: Callable[[ProgressCallback], None],
            scratch: Sequence[str] = (),
            **settings: Any,
        ) -> None:
            def shown() -> None:
                with self.listener.progress(name) as progress:
                    work(progress)

            if not stages.run(name, settings, outputs, shown, scratch):
                self.listener.note(f"{name}: done before")

        stage("Profile this machine", ["here.db"], self._profile, minutes=self.minutes)
        stage("Learn its time model", ["here.timemodel.json"], self._fit)
        self._show_rules()
        stage(
            "Train a network",
            ["original.keras", "original.tflite", "digits.npz"],
            self._train,
            seed=self.seed,
            epochs=self.epochs,
        )
        stage("Advise", ["advice.json"], self._advise)
        self._show_advice()
        stage(
            "Compress it",
            # ``compressed``, or ``closest`` where the goal is missed.
            ["compressed/result.json", "compressed/c*.keras", "compressed/c*.tflite"],
            self._compress,
            seed=self.seed,
            share=BUDGET_SHARE,
            scratch=["compressed"],
        )
        stage(
            "Cut it evenly, to compare",
            ["uniform/result.json", "uniform/c*.tflite"],
            self._cut_evenly,
            seed=self.seed,
            scratch=["uniform"],
        )
        stage("Export as int8", [self._int8_file()], self._export)
        stage("Choose", ["selection.json", "policy.json"], self._select)
        stage("Predict and measure", ["predictions.jsonl"], self._measure)

    # --- Stages -----------------------------------------------------------------------------------------------

    def _profile(self, progress: ProgressCallback) -> None:
        from edgetime.facade import profile

        profile("local", self.folder / "here.db", minutes=self.minutes, progress=progress)

    def _fit(self, progress: ProgressCallback) -> None:
        from timemodel.fitting import fit_profile

        fit_profile(self.folder / "here.db", progress).save(self.folder / "here.timemodel.json")

    def _train(self, progress: ProgressCallback) -> None:
        from compressor.export import export, tensorflow
        from edgetime.demo.task import load_digits, train_network

        progress(0.0, "starting TensorFlow")
        tensorflow()
        digits = load_digits(self.seed)
        digits.save(self.folder / "digits.npz")
        model = train_network(
            digits,
            epochs=self.epochs,
            seed=self.seed,
            progress=lambda done, note: progress(0.95 * done, note),
        )
        with replacing(self.folder / "original.keras") as temporary:
            model.save(temporary)
        export(model, self.folder / "original.tflite", check_data=self.folder / "digits.npz")

    def _advise(self, progress: ProgressCallback) -> None:
        from profiler.tflite import read_network
        from timemodel.advise import advise

        network = read_network(self.folder / "original.tflite")
        write_json(self.folder / "advice.json", advise(self._model(), network).to_dict())

    def _compress(self, progress: ProgressCallback) -> None:
        from profiler.tflite import read_network

        original = read_network(self.folder / "original.tflite")
        budget_ms = BUDGET_SHARE * self._model().predict_total_ms(original)
        self._compress_into("compressed", progress, self.compress_minutes, budget_ms=budget_ms)

    def _cut_evenly(self, progress: ProgressCallback) -> None:
        """The baseline: one width multiplier for all layers, down to the accuracy of the compressed network."""
        before, after = self._result("compressed")["before"], self._result("compressed")["after"]
        drop = max(0.0, 100 * (before["validation_score"] - after["validation_score"]))
        goal = {"max_accuracy_drop": drop, "method": "uniform", "points": 1}
        self._compress_into("uniform", progress, self.baseline_minutes, **goal)

    def _compress_into(self, name: str, progress: ProgressCallback, minutes: float, **goal: Any) -> None:
        """Compress the original; where the goal is missed go on with what came nearest, and say so."""
        from compressor.pipeline import compress

        try:
            compress(
                self.folder / "original.keras",
                self.folder / "digits.npz",
                self._model(),
                self.folder / name,
                minutes=minutes,
                seed=self.seed,
                resume=True,
                progress=progress,
                warn=self.listener.note,
                **goal,
            )
        except BudgetError as error:
            if not (self.folder / name / "result.json").exists():
                raise
            self.listener.note(str(error))

    def _export(self, progress: ProgressCallback) -> None:
        from compressor.export import export

        digits = self.folder / "digits.npz"
        export(
            self.folder / "compressed" / self._result("compressed")["after"]["keras"],
            self.folder / self._int8_file(),
            "int8",
            calibration=digits,
            check_data=digits,
            # The last table shows what int8 costs in accuracy; a point lost is no reason to end the story here.
            allow_drop=True,
            progress=progress,
        )

    def _select(self, progress: ProgressCallback) -> None:
        from selector.selection import select

        files = [self.folder / name for name in self._files().values()]
        chosen = select(self._model(), files, self.folder / "digits.npz", progress=progress)
        write_json(self.folder / "selection.json", chosen.to_dict())
        chosen.save(self.folder / "policy.json")

    def _measure(self, progress: ProgressCallback) -> None:
        """Run every network: on this machine for its time, on the test digits for its accuracy."""
        import numpy as np

        from compressor.data import load_data
        from compressor.export import TfliteRunner
        from edgetime.prediction import Predictor

        digits = load_data(self.folder / "digits.npz")
        assert digits.x_test is not None
        lines = []
        with Predictor(self._model(), measure=True) as predictor:
            files = self._files()
            for index, (what, file) in enumerate(files.items()):
                progress(index / len(files), file)
                result, warnings = predictor.predict(self.folder / file)
                for warning in warnings:
                    self.listener.note(warning)
                answers = np.asarray(TfliteRunner(self.folder / file).predict(digits.x_test)).argmax(axis=-1)
                accuracy = float(np.mean(answers == digits.y_test))
                lines.append(json.dumps({**result, "network": what, "accuracy": accuracy}))
        write_text(self.folder / "predictions.jsonl", "\n".join(lines) + "\n")

    # --- What is shown ----------------------------------------------------------------------------------------

    def _model(self) -> Any:
        from timemodel.model import TimeModel

        return TimeModel.load(self.folder / "here.timemodel.json")

    def _result(self, name: str) -> dict[str, Any]:
        return dict(json.loads((self.folder / name / "result.json").read_text("utf-8")))

    def _files(self) -> dict[str, str]:
        """The networks of the last table, by what they are; a goal that was missed is no success by name either."""
        names = {}
        for name, label in (("uniform", "uniform width"), ("compressed", "compressed")):
            result = self._result(name)
            missed = "" if result["met"] else f" (goal missed: {Path(result['after']['tflite']).stem})"
            names[label + missed] = f"{name}/{result['after']['tflite']}"
        int8 = [f"{label}, int8" for label in names][-1]
        return {"original": "original.tflite", **names, int8: self._int8_file()}

    def _int8_file(self) -> str:
        return f"{Path(self._result('compressed')['after']['tflite']).stem}_int8.tflite"

    def _conditions(self) -> str:
        """How calm the device was, in words."""
        model = self._model()
        conditions = model.setting().conditions
        return "" if conditions is None else f"{model.device}: {conditions.in_words()}"

    def _show_rules(self) -> None:
        from timemodel.explain import explain

        if self._conditions():
            self.listener.note(self._conditions())
        text = explain(self._model().setting(), "conv_2d")
        convolution = next((rules for rules in text if rules.startswith("conv_2d float32")), text[0])
        self.listener.note("\n".join(convolution.splitlines()[:4]))

    def _show_advice(self) -> None:
        advice = json.loads((self.folder / "advice.json").read_text("utf-8"))
        self.listener.note(f"The network takes {units.ms(advice['predicted_ms'])} (predicted).")
        for change in advice["top"][:3]:
            saved = units.percent(change["saving_share"])
            name = change["name"].split(";")[0]
            self.listener.note(
                f"  {name}: {change['width']} channels, not {change['from_width']}: {saved} less"
            )

    def _summary(self) -> dict[str, Any]:
        from compressor.export import keep_float32
        from edgetime.report import write_report

        report = self.folder / "report.html"
        write_report(self.folder, report, "edgetime: digits on this machine")
        compressed = self._result("compressed")
        networks: list[dict[str, Any]] = []
        files = self._files()
        for line in (self.folder / "predictions.jsonl").read_text("utf-8").splitlines():
            row = json.loads(line)
            size = (self.folder / files[row["network"]]).stat().st_size
            keys = (
                "network",
                "accuracy",
                "predicted_ms",
                "low_ms",
                "high_ms",
                "measured_ms",
                "peak_memory_bytes",
            )
            networks.append({**{key: row[key] for key in keys}, "file_bytes": size, "mark": units.mark(row)})
        float32, int8 = networks[-2:]
        conditions = self._model().setting().conditions
        return {
            "report": str(report),
            "speedup_measured": compressed["speedup_measured"],
            "drop_points": compressed["drop_points"],
            "trainings": len(compressed["after"].get("scores", ())) or 1,
            "met": compressed["met"],
            "missed": compressed["missed"],
            "device": self._conditions(),
            "calm_share": None if conditions is None else conditions.calm_share,
            "advice": keep_float32("int8", int8["measured_ms"], float32["measured_ms"]),
            "networks": networks,
        }
