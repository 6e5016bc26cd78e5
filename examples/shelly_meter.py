"""A source of power of your own: a Shelly plug, which says over the network what hangs on it draws.

Put this file where Python finds it and name it in your package's ``pyproject.toml``::

    [project.entry-points."edgetime.power"]
    shelly = "shelly_meter:Shelly"

then ``edgetime profile "ssh://pi@board?power=shelly:192.168.1.7" -o board.db``. The file is sent to the board and runs there.
"""

import json
import urllib.request


class Shelly:
    """a Shelly plug or switch; power=shelly:ADDRESS"""

    unit = "W"

    def __init__(self, argument):
        self.where = argument
        self.url = f"http://{argument}/rpc/Switch.GetStatus?id=0"
        self.read()

    def read(self):
        """Watts now."""
        with urllib.request.urlopen(self.url, timeout=5) as answer:
            return float(json.load(answer)["apower"])
