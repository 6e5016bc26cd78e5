from __future__ import annotations

import os
from pathlib import Path

import pytest

from profiler.devices.power import sensors
from profiler.devices.power.sensors import Hwmon, Ina, Rapl
from profiler.testing import check_power_source


def write(root: Path, files: dict[str, object]) -> Path:
    for name, value in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return root


def zone(number: str, name: str, counter_uj: int, most_uj: int = 1_000_000) -> dict[str, object]:
    folder = f"class/powercap/intel-rapl:{number}"
    return {
        f"{folder}/name": name,
        f"{folder}/energy_uj": counter_uj,
        f"{folder}/max_energy_range_uj": most_uj,
    }


def monitor(number: int, name: str, **files: object) -> dict[str, object]:
    return {f"class/hwmon/hwmon{number}/{key}": value for key, value in {"name": name, **files}.items()}


@pytest.fixture
def rapl(tmp_path):
    parts = [
        zone("0", "package-0", 500),
        zone("0:0", "core", 300),
        zone("0:1", "dram", 100),
        zone("1", "psys", 900),
    ]
    for part in parts:
        write(tmp_path, part)
    return tmp_path


def test_every_source_of_ours_passes_the_suite(rapl, tmp_path_factory):
    check_power_source(Rapl, str(rapl))
    for source, name in ((Hwmon, "acpi_power"), (Ina, "ina219")):
        root = write(tmp_path_factory.mktemp(name), monitor(0, name, power1_input=2_500_000))
        check_power_source(source, str(root))


def test_rapl_adds_packages_and_their_memory_and_not_what_is_part_of_a_package(rapl):
    found = Rapl(str(rapl))
    assert found.where == "package-0 + dram"
    write(
        rapl, {**zone("0", "package-0", 2_500), **zone("0:0", "core", 90_000), **zone("0:1", "dram", 1_100)}
    )
    assert found.read() == pytest.approx(3000e-6)


def test_rapl_takes_a_counter_on_that_begins_again(rapl):
    found = Rapl(str(rapl))
    write(rapl, zone("0", "package-0", 999_500))
    assert found.read() == pytest.approx(0.999)
    write(rapl, zone("0", "package-0", 300))  # 500 to the end of the range, 300 beyond it
    assert found.read() == pytest.approx(0.9998)


def test_a_counter_without_permission_is_told_with_what_allows_it(rapl):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (rapl / "class/powercap/intel-rapl:0/energy_uj").chmod(0)
    with pytest.raises(
        PermissionError, match=r"no permission to read .*energy_uj: allow it with 'sudo chmod a\+r "
    ):
        Rapl(str(rapl))


def test_no_permission_is_told_whoever_asks(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(sensors, "open", refuse, raising=False)
    with pytest.raises(PermissionError, match="sudo chmod"):
        sensors.number("/sys/class/powercap/intel-rapl:0/energy_uj")


def test_a_counter_that_vanishes_is_told(rapl):
    found = Rapl(str(rapl))
    (rapl / "class/powercap/intel-rapl:0/energy_uj").unlink()
    with pytest.raises(OSError, match=r"cannot read .*energy_uj"):
        found.read()


def test_a_machine_without_rapl_says_what_there_is(tmp_path):
    with pytest.raises(OSError, match=r"no package of intel-rapl .nothing there"):
        Rapl(str(tmp_path))


def test_hwmon_reads_microwatts_or_voltage_times_current(tmp_path):
    write(tmp_path, monitor(0, "ina219", in1_input=5_000, curr1_input=400))
    assert Hwmon(str(tmp_path)).read() == pytest.approx(2.0)
    write(tmp_path, monitor(0, "ina219", power1_input=3_500_000))
    assert Hwmon(str(tmp_path)).read() == pytest.approx(3.5)


def test_of_several_channels_the_one_that_holds_all_is_read_else_their_sum(tmp_path):
    rails = {f"curr{n}_input": amperes for n, amperes in enumerate((600, 200, 100), 1)}
    volts = {f"in{n}_input": 5_000 for n in (1, 2, 3)}
    write(tmp_path, monitor(0, "ina3221", **rails, **volts))
    assert Ina(str(tmp_path)).read() == pytest.approx(4.5)
    write(
        tmp_path, monitor(0, "ina3221", in1_label="VDD_IN", in2_label="VDD_CPU_GPU_CV", in3_label="VDD_SOC")
    )
    found = Ina(str(tmp_path))
    assert (found.where, found.read()) == ("ina3221/VDD_IN", pytest.approx(3.0))


def test_of_several_monitors_one_must_be_chosen(tmp_path, monkeypatch):
    write(
        tmp_path,
        {**monitor(0, "ina219", power1_input=1_000_000), **monitor(1, "nvme", power1_input=9_000_000)},
    )
    with pytest.raises(
        ValueError, match=r"several monitors .ina219/power1, nvme/power1.: choose one by power=NAME:CHIP"
    ):
        Hwmon(str(tmp_path))
    monkeypatch.setattr(sensors, "SYSFS", str(tmp_path))
    assert Hwmon("nvme").read() == pytest.approx(9.0)
    assert Ina().read() == pytest.approx(1.0)
    with pytest.raises(OSError, match="and no gpu"):
        Hwmon("gpu")


def test_older_jetsons_show_their_monitor_as_industrial_io_in_milliwatts(tmp_path):
    folder = "bus/i2c/drivers/ina3221x/1-0040/iio:device0"
    write(tmp_path, {f"{folder}/in_power0_input": 4_200, f"{folder}/rail_name_0": "POM_5V_IN"})
    write(tmp_path, {f"{folder}/in_power1_input": 1_100, f"{folder}/rail_name_1": "POM_5V_CPU"})
    found = Ina(str(tmp_path))
    assert (found.where, found.read()) == ("ina/POM_5V_IN", pytest.approx(4.2))
