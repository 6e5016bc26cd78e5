"""``edgetime targets``."""

from __future__ import annotations

from edgetime.terminal import Terminal, options, table


def command(json: options.JsonOption = False) -> None:
    """List where edgetime can measure, what each place offers, and where energy can be read.

    Example:

    \b
    $ edgetime targets
    """
    from profiler.devices import list_targets

    with Terminal(json) as out:
        rows = list_targets()
        out.json(rows)
        out.show(table(["TARGET", "offers"], [[row["spec"], row["offers"]] for row in rows]))
