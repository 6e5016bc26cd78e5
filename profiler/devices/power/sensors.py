"""Where Linux says what power a machine draws: RAPL, INA219 and INA3221, any other monitor of the kernel's ``hwmon``.

This file is sent to the board, as is the one of a source of your own: keep it to Python 3.7 and its standard library. A source is
a class with `unit` (``W``: power now, ``J``: energy so far), `where` (what is read) and `read`. It is made with the text behind its
name (``power=NAME:TEXT``, mostly empty) and raises OSError or ValueError with a sentence where there is nothing to read.
"""

from __future__ import annotations

import glob
import os
from typing import Any

SYSFS = "/sys"
TOTALS = ("vdd_in", "pom_5v_in", "total power", "total", "psys")
"""Labels of channels that hold all others of a board."""


def number(path: str) -> float:
    """The number in a file of the system."""
    try:
        with open(path, encoding="ascii") as file:
            return float(file.read())
    except PermissionError:
        raise PermissionError(
            f"no permission to read {path}: allow it with 'sudo chmod a+r {path}'"
        ) from None
    except OSError as error:
        raise OSError(f"cannot read {path} ({error.strerror})") from None
    except ValueError:
        raise ValueError(f"{path} holds no number") from None


def text(path: str) -> str:
    """The text in a file of the system, empty where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def folder_and_name(argument: str) -> tuple[str, str]:
    """What stands behind a source's name: another folder than /sys (it begins with a slash), or what to read."""
    return (argument.rstrip("/"), "") if argument.startswith("/") else (SYSFS, argument)


class Rapl:
    """energy counters of Intel and AMD processors: all packages, and their memory where it is counted"""

    unit = "J"

    def __init__(self, argument: str = "") -> None:
        root, only = folder_and_name(argument)
        zones = sorted(glob.glob(os.path.join(root, "class/powercap/intel-rapl*:*")))
        named = {zone: text(os.path.join(zone, "name")) for zone in zones}
        # What is part of a package (its cores, its graphics) is counted there; its memory is not.
        wanted = [zone for zone, name in named.items() if name.startswith("package") or name == "dram"]
        self.zones = [zone for zone, name in named.items() if name == only] if only else wanted
        if not self.zones:
            there = ", ".join(sorted(set(named.values()))) or "nothing"
            raise OSError(f"{root}/class/powercap has no {only or 'package'} of intel-rapl ({there} there)")
        self.where = " + ".join(named[zone] for zone in self.zones)
        self.wraps_uj = [number(os.path.join(zone, "max_energy_range_uj")) for zone in self.zones]
        self.last_uj = [self.counter_uj(zone) for zone in self.zones]
        self.total_uj = 0.0

    @staticmethod
    def counter_uj(zone: str) -> float:
        """A zone's counter."""
        return number(os.path.join(zone, "energy_uj"))

    def read(self) -> float:
        """Joules since this was made; a counter that began again at 0 is taken on."""
        for place, zone in enumerate(self.zones):
            now_uj = self.counter_uj(zone)
            gone_uj = now_uj - self.last_uj[place]
            self.total_uj += gone_uj if gone_uj >= 0 else gone_uj + self.wraps_uj[place]
            self.last_uj[place] = now_uj
        return self.total_uj / 1e6


class Hwmon:
    """power monitors of the kernel's hwmon; power=hwmon:NAME takes the chip, or the channel by its label, of that name"""

    unit = "W"
    chips: tuple[str, ...] = ()  # names of chips that it is for; none: all

    def __init__(self, argument: str = "") -> None:
        root, only = folder_and_name(argument)
        channels = []
        seen = []
        for chip in sorted(glob.glob(os.path.join(root, "class/hwmon/hwmon*"))):
            name = text(os.path.join(chip, "name"))
            if self.chips and not name.startswith(self.chips):
                continue
            found = self.channels_of(chip)
            seen += [f"{name}/{label}" for label, _ in found]
            channels += [
                (f"{name}/{label}", files)
                for label, files in found
                if only in ("", name, label, f"{name}/{label}")
            ]
        channels += self.others(root, only)
        if not channels:
            there = ", ".join(seen) or "no channel of power"
            raise OSError(f"{root}/class/hwmon has {there}{f', and no {only}' if only else ''}")
        if len({name.split("/")[0] for name, _ in channels}) > 1 and not only:
            # Monitors of several chips may count the same current twice.
            raise ValueError(f"several monitors ({', '.join(seen)}): choose one by power=NAME:CHIP")
        totals = [channel for channel in channels if channel[0].split("/")[1].lower() in TOTALS]
        channels = totals[:1] if totals and not only else channels
        self.where = " + ".join(name for name, _ in channels)
        self.channels = [files for _, files in channels]
        self.read()

    def channels_of(self, chip: str) -> list[tuple[str, Any]]:
        """Label and files of each channel of a chip: its power, else voltage and current."""
        found: list[tuple[str, Any]] = []
        for path in sorted(glob.glob(os.path.join(chip, "power[0-9]*_input"))):
            found.append(
                (
                    text(path.replace("_input", "_label")) or os.path.basename(path)[: -len("_input")],
                    (path, 1e-6),
                )
            )
        if found:
            return found
        for path in sorted(glob.glob(os.path.join(chip, "curr[0-9]*_input"))):
            number_of = os.path.basename(path)[len("curr") : -len("_input")]
            volts = os.path.join(chip, f"in{number_of}_input")
            label = text(os.path.join(chip, f"in{number_of}_label")) or f"in{number_of}"
            if os.path.exists(volts) and label.lower() != "sum of shunt voltages":
                found.append((label, (path, 1e-6, volts)))  # milliamperes times millivolts
        return found

    def others(self, root: str, only: str) -> list[tuple[str, Any]]:
        """Channels elsewhere in the system."""
        return []

    def read(self) -> float:
        """Watts now, of all channels."""
        watts = 0.0
        for path, scale, *factors in self.channels:
            value = number(path) * scale
            for factor in factors:
                value *= number(factor)
            watts += value
        return watts


class Ina(Hwmon):
    """INA219, INA226, INA260 and INA3221 monitors, as on Jetson boards; power=ina:LABEL takes one channel"""

    chips = ("ina",)

    def others(self, root: str, only: str) -> list[tuple[str, Any]]:
        """Channels that older kernels show as industrial I/O, in milliwatts."""
        found = []
        for chip in sorted(glob.glob(os.path.join(root, "bus/i2c/drivers/ina*/*/iio:device*"))):
            for path in sorted(glob.glob(os.path.join(chip, "in_power*_input"))):
                label = text(
                    path.replace("in_power", "rail_name_").replace("_input", "")
                ) or os.path.basename(path)
                if only in ("", label):
                    found.append((f"ina/{label}", (path, 1e-3)))
        return found


SOURCES = {"rapl": Rapl, "ina": Ina, "hwmon": Hwmon}
