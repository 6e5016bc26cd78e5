"""A process of a shared search on the synthetic task: ``python -m scale_worker SETTINGS.json NAME``.

A candidate takes `seconds`, and longer while there is a file ``NAME.held`` in the folder. Who begins or finishes one
says so in ``begun.txt`` and ``done.txt``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from compressor.pipeline.shared.workers import end_with_parent
from compressor.search import Goal
from compressor.search.optuna import OptunaSearch
from compressor.testing.workbench import make_problem
from profiler.errors import EdgetimeError


def main(settings_file: str, name: str) -> int:
    settings = json.loads(Path(settings_file).read_text())
    folder = Path(settings["folder"])
    leads = name == "first"
    own = folder if settings["url"] is None else None
    problem = make_problem(Goal(budget_ms=0.03), own, seed=0 if leads else 1 + sum(map(ord, name)))
    judge = problem.evaluate

    def say(file: str, text: str) -> None:
        with (folder / file).open("a") as out:
            out.write(f"{name} {os.getpid()} {text}\n")

    def slow(candidate):
        widths = "-".join(map(str, candidate.widths.values()))
        say("begun.txt", widths)
        time.sleep(settings["seconds"])
        while (folder / f"{name}.held").exists():
            time.sleep(0.01)
        score = judge(candidate)
        say("done.txt", widths)
        return score

    problem.evaluate = slow
    end_with_parent()
    method = OptunaSearch(
        trials=settings["trials"],
        proxy_trials=12,
        storage=settings["url"],
        study=settings["study"],
        leads=leads,
        beat_s=1,
        grace_s=3,
    )
    try:
        trials = method.run(problem)
    except EdgetimeError as error:
        print(f"edgetime: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    print(json.dumps([trial.to_dict() for trial in trials]))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
