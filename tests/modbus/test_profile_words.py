"""Raw words of every shipped point, written from the published maps and not from the profiles.

Each case names the map's own key, function, address and words, and what they mean. Sources are those of the maps:
Raritan/Xerus Modbus interface; mbmd, nymea and OpenEMS for SDM630, iEM3000 and EM340; APC 990-3027B; Emerson modbus_485
and Unity tables for iCOM; facebook/openbmc orv3_rpu.json; Eaton 164201670. Temperatures of the InRow are tenths of a
degree Fahrenheit: 752 is 75.2 °F is 24 °C.
"""

from typing import NamedTuple

import pytest

from keeld import profiles
from keeld.model import Group
from keeld.profiles.decode import decode
from keeld.profiles.plan import plan


class Case(NamedTuple):
    profile: str
    key: str
    function: int
    address: int
    words: list[int]
    metric: str
    part: str
    value: float | None
    unit_offset: int = 0


# ruff: noqa: E501 - one case a line
# fmt: off
CASES = [
    Case("raritan_px", "inlet1_voltage", 3, 12296, [0x4366, 0x8000], "voltage_volts", "", 230.5),
    Case("raritan_px", "inlet1_current", 3, 12298, [0x4144, 0x0000], "current_amperes", "", 12.25),
    Case("raritan_px", "inlet1_current_unbalance", 3, 12304, [0x4148, 0x0000], "current_unbalance_ratio", "", 0.125),
    Case("raritan_px", "inlet1_power", 3, 12306, [0x45FD, 0xD800], "power_watts", "", 8123.0),
    Case("raritan_px", "inlet1_apparent_power", 3, 12308, [0x4604, 0xD000], "apparent_power_volt_amperes", "", 8500.0),
    Case("raritan_px", "inlet1_power_factor", 3, 12310, [0x3F74, 0x0000], "power_factor_ratio", "", 0.953125),
    Case("raritan_px", "inlet1_frequency", 3, 12322, [0x4270, 0x0000], "frequency_hertz", "", 60.0),
    Case("raritan_px", "inlet1_reactive_power", 3, 12324, [0xC400, 0x0000], "reactive_power_vars", "", -512.0),
    Case("raritan_px", "ocp1_current", 3, 16394, [0x40B0, 0x0000], "current_amperes", "branch/1", 5.5),
    Case("raritan_px", "outlet1_voltage", 3, 32776, [0x4365, 0xC000], "voltage_volts", "outlet/1", 229.75),
    Case("raritan_px", "outlet1_current", 3, 32778, [0x3FE0, 0x0000], "current_amperes", "outlet/1", 1.75),
    Case("raritan_px", "outlet1_power", 3, 32786, [0x43C8, 0x0000], "power_watts", "outlet/1", 400.0),
    Case("raritan_px", "outlet1_power_factor", 3, 32790, [0xBF00, 0x0000], "power_factor_ratio", "outlet/1", -0.5),
    Case("raritan_px", "outlet1_frequency", 3, 32802, [0x4248, 0x0000], "frequency_hertz", "outlet/1", 50.0),
    Case("eastron_sdm630", "voltage_l1", 4, 0, [0x4366, 0x4000], "voltage_volts", "L1", 230.25),
    Case("eastron_sdm630", "voltage_l2", 4, 2, [0x4367, 0x8000], "voltage_volts", "L2", 231.5),
    Case("eastron_sdm630", "voltage_l3", 4, 4, [0x4365, 0x0000], "voltage_volts", "L3", 229.0),
    Case("eastron_sdm630", "current_l1", 4, 6, [0x4128, 0x0000], "current_amperes", "L1", 10.5),
    Case("eastron_sdm630", "current_l2", 4, 8, [0x4134, 0x0000], "current_amperes", "L2", 11.25),
    Case("eastron_sdm630", "current_l3", 4, 10, [0xBF40, 0x0000], "current_amperes", "L3", -0.75),
    Case("eastron_sdm630", "power_l1", 4, 12, [0x4516, 0x0000], "power_watts", "L1", 2400.0),
    Case("eastron_sdm630", "power_l2", 4, 14, [0x451C, 0x4800], "power_watts", "L2", 2500.5),
    Case("eastron_sdm630", "power_l3", 4, 16, [0xC316, 0x4000], "power_watts", "L3", -150.25),
    Case("eastron_sdm630", "apparent_power_l1", 4, 18, [0x451C, 0x4000], "apparent_power_volt_amperes", "L1", 2500.0),
    Case("eastron_sdm630", "apparent_power_l2", 4, 20, [0x4522, 0x8000], "apparent_power_volt_amperes", "L2", 2600.0),
    Case("eastron_sdm630", "apparent_power_l3", 4, 22, [0x4348, 0x0000], "apparent_power_volt_amperes", "L3", 200.0),
    Case("eastron_sdm630", "reactive_power_l1", 4, 24, [0x42C8, 0x0000], "reactive_power_vars", "L1", 100.0),
    Case("eastron_sdm630", "reactive_power_l2", 4, 26, [0xC24A, 0x0000], "reactive_power_vars", "L2", -50.5),
    Case("eastron_sdm630", "reactive_power_l3", 4, 28, [0x41CA, 0x0000], "reactive_power_vars", "L3", 25.25),
    Case("eastron_sdm630", "power_factor_l1", 4, 30, [0x3F78, 0x0000], "power_factor_ratio", "L1", 0.96875),
    Case("eastron_sdm630", "power_factor_l2", 4, 32, [0x3F70, 0x0000], "power_factor_ratio", "L2", 0.9375),
    Case("eastron_sdm630", "power_factor_l3", 4, 34, [0xBF40, 0x0000], "power_factor_ratio", "L3", -0.75),
    Case("eastron_sdm630", "power", 4, 52, [0x4594, 0x7200], "power_watts", "", 4750.25),
    Case("eastron_sdm630", "apparent_power", 4, 56, [0x45A5, 0xA000], "apparent_power_volt_amperes", "", 5300.0),
    Case("eastron_sdm630", "reactive_power", 4, 60, [0x4295, 0x8000], "reactive_power_vars", "", 74.75),
    Case("eastron_sdm630", "power_factor", 4, 62, [0x3F64, 0x0000], "power_factor_ratio", "", 0.890625),
    Case("eastron_sdm630", "frequency", 4, 70, [0x4247, 0xF000], "frequency_hertz", "", 49.984375),
    Case("eastron_sdm630", "energy_import", 4, 72, [0x47F1, 0x2040], "energy_watt_hours", "", 123456500.0),
    Case("eastron_sdm630", "energy_import_l1", 4, 346, [0x4720, 0xC040], "energy_watt_hours", "L1", 41152250.0),
    Case("eastron_sdm630", "energy_import_l2", 4, 348, [0x4720, 0xC000], "energy_watt_hours", "L2", 41152000.0),
    Case("eastron_sdm630", "energy_import_l3", 4, 350, [0x3E80, 0x0000], "energy_watt_hours", "L3", 250.0),
    Case("schneider_iem3000", "current_l1", 3, 2999, [0x4128, 0x0000], "current_amperes", "L1", 10.5),
    Case("schneider_iem3000", "current_l2", 3, 3001, [0x4134, 0x0000], "current_amperes", "L2", 11.25),
    Case("schneider_iem3000", "current_l3", 3, 3003, [0x0000, 0x0000], "current_amperes", "L3", 0.0),
    Case("schneider_iem3000", "voltage_l1", 3, 3027, [0x4366, 0x4000], "voltage_volts", "L1", 230.25),
    Case("schneider_iem3000", "voltage_l2", 3, 3029, [0x4367, 0x8000], "voltage_volts", "L2", 231.5),
    Case("schneider_iem3000", "voltage_l3", 3, 3031, [0x4365, 0x0000], "voltage_volts", "L3", 229.0),
    Case("schneider_iem3000", "power_l1", 3, 3053, [0x4020, 0x0000], "power_watts", "L1", 2500.0),
    Case("schneider_iem3000", "power_l2", 3, 3055, [0x4050, 0x0000], "power_watts", "L2", 3250.0),
    Case("schneider_iem3000", "power_l3", 3, 3057, [0xBF00, 0x0000], "power_watts", "L3", -500.0),
    Case("schneider_iem3000", "power", 3, 3059, [0x40A8, 0x0000], "power_watts", "", 5250.0),
    Case("schneider_iem3000", "reactive_power", 3, 3067, [0x3E00, 0x0000], "reactive_power_vars", "", 125.0),
    Case("schneider_iem3000", "apparent_power", 3, 3075, [0x40B0, 0x0000], "apparent_power_volt_amperes", "", 5500.0),
    Case("schneider_iem3000", "frequency", 3, 3109, [0x4248, 0x0000], "frequency_hertz", "", 50.0),
    Case("schneider_iem3000", "energy_import", 3, 3203, [0x0000, 0x001C, 0xBE99, 0x1A14], "energy_watt_hours", "", 123456789012.0),
    Case("schneider_iem3000", "energy_import_l1", 3, 3517, [0x0000, 0x0009, 0x94DD, 0xB35C], "energy_watt_hours", "L1", 41152263004.0),
    Case("schneider_iem3000", "energy_import_l2", 3, 3521, [0x0000, 0x0000, 0x0000, 0x0001], "energy_watt_hours", "L2", 1.0),
    Case("schneider_iem3000", "energy_import_l3", 3, 3525, [0x0000, 0x0000, 0x0000, 0x0000], "energy_watt_hours", "L3", 0.0),
    Case("carlo_gavazzi_em340", "voltage_l1", 4, 0, [0x08FD, 0x0000], "voltage_volts", "L1", 230.1),
    Case("carlo_gavazzi_em340", "voltage_l2", 4, 2, [0x090B, 0x0000], "voltage_volts", "L2", 231.5),
    Case("carlo_gavazzi_em340", "voltage_l3", 4, 4, [0x08FB, 0x0000], "voltage_volts", "L3", 229.9),
    Case("carlo_gavazzi_em340", "current_l1", 4, 12, [0x3039, 0x0000], "current_amperes", "L1", 12.345),
    Case("carlo_gavazzi_em340", "current_l2", 4, 14, [0x1170, 0x0001], "current_amperes", "L2", 70.0),
    Case("carlo_gavazzi_em340", "current_l3", 4, 16, [0xFA24, 0xFFFF], "current_amperes", "L3", -1.5),
    Case("carlo_gavazzi_em340", "power_l1", 4, 18, [0x6F22, 0x0000], "power_watts", "L1", 2845.0),
    Case("carlo_gavazzi_em340", "power_l2", 4, 20, [0x0000, 0x000A], "power_watts", "L2", 65536.0),
    Case("carlo_gavazzi_em340", "power_l3", 4, 22, [0xFFF4, 0xFFFF], "power_watts", "L3", -1.2),
    Case("carlo_gavazzi_em340", "power", 4, 40, [0x6F16, 0x000A], "power_watts", "", 68379.8),
    Case("carlo_gavazzi_em340", "apparent_power", 4, 42, [0xAE61, 0x000A], "apparent_power_volt_amperes", "", 70000.1),
    Case("carlo_gavazzi_em340", "reactive_power", 4, 44, [0xFFFF, 0xFFFE], "reactive_power_vars", "", -6553.7),
    Case("carlo_gavazzi_em340", "power_factor", 4, 49, [0xFC47], "power_factor_ratio", "", -0.953),
    Case("carlo_gavazzi_em340", "frequency", 4, 51, [0x0257], "frequency_hertz", "", 59.9),
    Case("carlo_gavazzi_em340", "energy_import", 4, 52, [0xD687, 0x0012], "energy_watt_hours", "", 123456700.0),
    Case("apc_inrow_sc", "overall_status", 3, 0, [0x0004], "unit_alarm", "", 2.0),
    Case("apc_inrow_sc", "cool_setpoint", 3, 1, [0x0000, 0x0302], "temperature_setpoint_celsius", "intake", 25.0),
    Case("apc_inrow_sc", "supply_air_setpoint", 3, 3, [0x0000, 0x02A8], "temperature_setpoint_celsius", "supply", 20.0),
    Case("apc_inrow_sc", "operate_mode", 3, 87, [0x0001], "unit_state", "", 1.0),
    Case("apc_inrow_sc", "cool_output", 3, 88, [0x0000, 0x007D], "cooling_output_watts", "", 12500.0),
    Case("apc_inrow_sc", "cool_demand", 3, 90, [0x0001, 0x1170], "cooling_demand_watts", "", None),
    Case("apc_inrow_sc", "rack_inlet_temp", 3, 92, [0x0000, 0x02F0], "temperature_celsius", "intake", 24.0),
    Case("apc_inrow_sc", "supply_air_temp", 3, 94, [0x0000, 0x0284], "temperature_celsius", "supply", 18.0),
    Case("apc_inrow_sc", "return_air_temp", 3, 96, [0x0000, 0x03EC], "temperature_celsius", "return", 38.0),
    Case("apc_inrow_sc", "condenser_outlet_temp", 3, 98, [0xFFFF, 0xFFD8], "temperature_celsius", "condenser", -20.0),
    Case("vertiv_icom", "return_humidity", 4, 129, [0x01C7], "humidity_ratio", "return", 0.455),
    Case("vertiv_icom", "fluid_output_temp_1", 4, 903, [0xFFE7], "temperature_celsius", "supply", -2.5),
    Case("vertiv_icom", "fluid_flow_rate_1", 4, 907, [0x0001, 0x1171], "flow_litres_per_minute", "", 7000.1),
    Case("vertiv_icom", "unit_cooling_load", 4, 1000, [0x0000, 0x0337], "cooling_output_watts", "", 82300.0),
    Case("vertiv_icom", "instantaneous_power_1", 4, 1009, [0x0001, 0x0001], "power_watts", "", 65537.0),
    Case("vertiv_icom_crv", "crv_remote_sensor_temp_4", 4, 426, [0x00E7], "temperature_celsius", "sensor/4", 23.1),
    Case("vertiv_icom_crv", "crv_supply_chilled_water_temp", 4, 443, [0x0048], "temperature_celsius", "water/supply", 7.2),
    Case("vertiv_icom_crv", "crv_fan_speed", 4, 450, [0x0055], "fan_duty_ratio", "", 0.85),
    Case("vertiv_icom_hpc", "hpc_return_fluid_temp", 4, 490, [0x0079], "temperature_celsius", "return", 12.1),
    Case("vertiv_icom_hpc", "hpc_supply_fluid_temp", 4, 492, [0xFFF1], "temperature_celsius", "supply", -1.5),
    Case("vertiv_icom_hpc", "hpc_supply_fluid_setpoint", 4, 494, [0x0046], "temperature_setpoint_celsius", "supply", 7.0),
    Case("vertiv_icom_hpc", "hpc_condenser_inlet_temp", 4, 496, [0x015F], "temperature_celsius", "condenser/inlet", 35.1),
    Case("vertiv_icom_hpc", "hpc_condenser_outlet_temp", 4, 498, [0x01C1], "temperature_celsius", "condenser/outlet", 44.9),
    Case("vertiv_icom_hpc", "hpc_ambient_temp", 4, 505, [0xFED2], "temperature_celsius", "ambient", -30.2),
    Case("vertiv_icom_hpc", "hpc_pump1_state", 4, 509, [0x0001], "pump_state", "pump/1", 1.0),
    Case("meta_orv3_rpu", "rpu_coolant_flow_rate_lpm", 3, 36864, [0x04D2], "flow_litres_per_minute", "", 123.4),
    Case("meta_orv3_rpu", "rpu_coolant_outlet_temp_c", 3, 36865, [0x0141], "temperature_celsius", "supply", 32.1),
    Case("meta_orv3_rpu", "rpu_coolant_inlet_temp_c", 3, 36866, [0x01C7], "temperature_celsius", "return", 45.5),
    Case("meta_orv3_rpu", "rpu_coolant_outlet_pressure_kpa", 3, 36867, [0x0839], "pressure_pascals", "supply", 210500.0),
    Case("meta_orv3_rpu", "rpu_coolant_inlet_pressure_kpa", 3, 36868, [0xFFF1], "pressure_pascals", "return", -1500.0),
    Case("meta_orv3_rpu", "rpu_power_w", 3, 36869, [0x11D7], "power_watts", "rpu", 456.7),
    Case("meta_orv3_rpu", "aalc_total_power_w", 3, 36870, [0xFFFF], "", "", None),
    Case("meta_orv3_rpu", "rpu_input_volt_v", 3, 36871, [0x0200], "voltage_volts", "rpu", 51.2),
    Case("meta_orv3_rpu", "rpu_air_inlet_temp_c", 3, 36872, [0x0114], "temperature_celsius", "intake", 27.6),
    Case("meta_orv3_rpu", "rpu_pump_pwm_pct", 3, 36873, [0x0041], "pump_duty_ratio", "", 0.65),
    Case("meta_orv3_rpu", "rpu_pump1_tach_rpm", 3, 36874, [0x0BB9], "pump_rpm", "pump/1", 3001.0),
    Case("meta_orv3_rpu", "rpu_pump2_tach_rpm", 3, 36875, [0x0BBA], "pump_rpm", "pump/2", 3002.0),
    Case("meta_orv3_rpu", "rpu_pump3_tach_rpm", 3, 36876, [0x0BBB], "pump_rpm", "pump/3", 3003.0),
    Case("meta_orv3_rpu", "rpu_pump4_tach_rpm", 3, 36877, [0x0BBC], "pump_rpm", "pump/4", 3004.0),
    Case("meta_orv3_rpu", "rpu_fan1_tach_rpm", 3, 36879, [0x1F41], "fan_rpm", "fan/1", 8001.0),
    Case("meta_orv3_rpu", "rpu_fan2_tach_rpm", 3, 36880, [0x1F42], "fan_rpm", "fan/2", 8002.0),
    Case("meta_orv3_rpu", "aalc_cooling_capacity_w", 3, 36881, [0x9C41], "cooling_capacity_watts", "", 4000.1),
    Case("meta_orv3_rpu", "hex_fan_pwm_tach_pct", 3, 37120, [0x0046], "fan_duty_ratio", "hex", 0.7),
    Case("meta_orv3_rpu", "hex_power_w", 3, 37121, [0x3039], "power_watts", "hex", 1234.5),
    Case("meta_orv3_rpu", "hex_input_volt_v", 3, 37122, [0x0032], "voltage_volts", "hex", 50.0),
    Case("meta_orv3_rpu", "hex_fan1_tach_rpm", 3, 37124, [0x1389], "fan_rpm", "hex/fan/1", 5001.0),
    Case("meta_orv3_rpu", "hex_fan2_tach_rpm", 3, 37125, [0x138A], "fan_rpm", "hex/fan/2", 5002.0),
    Case("meta_orv3_rpu", "hex_fan3_tach_rpm", 3, 37126, [0x138B], "fan_rpm", "hex/fan/3", 5003.0),
    Case("meta_orv3_rpu", "hex_fan4_tach_rpm", 3, 37127, [0x138C], "fan_rpm", "hex/fan/4", 5004.0),
    Case("meta_orv3_rpu", "hex_fan5_tach_rpm", 3, 37128, [0x138D], "fan_rpm", "hex/fan/5", 5005.0),
    Case("meta_orv3_rpu", "hex_fan6_tach_rpm", 3, 37129, [0x138E], "fan_rpm", "hex/fan/6", 5006.0),
    Case("meta_orv3_rpu", "hex_fan7_tach_rpm", 3, 37130, [0x138F], "fan_rpm", "hex/fan/7", 5007.0),
    Case("meta_orv3_rpu", "hex_fan8_tach_rpm", 3, 37131, [0x1390], "fan_rpm", "hex/fan/8", 5008.0),
    Case("meta_orv3_rpu", "hex_fan9_tach_rpm", 3, 37132, [0x1391], "fan_rpm", "hex/fan/9", 5009.0),
    Case("meta_orv3_rpu", "hex_fan10_tach_rpm", 3, 37133, [0x1392], "fan_rpm", "hex/fan/10", 5010.0),
    Case("meta_orv3_rpu", "hex_air_outlet1_temp_c", 3, 37134, [0x0191], "temperature_celsius", "hex/exhaust/1", 40.1),
    Case("meta_orv3_rpu", "hex_air_outlet2_temp_c", 3, 37135, [0x0192], "temperature_celsius", "hex/exhaust/2", 40.2),
    Case("meta_orv3_rpu", "hex_air_inlet1_temp_c", 3, 37136, [0x00FB], "temperature_celsius", "hex/intake/1", 25.1),
    Case("meta_orv3_rpu", "hex_air_inlet2_temp_c", 3, 37137, [0x00FC], "temperature_celsius", "hex/intake/2", 25.2),
    Case("meta_orv3_rpu", "hex_water_inlet_temp_c", 3, 37138, [0x01C8], "temperature_celsius", "hex/coolant", 45.6),
    Case("meta_orv3_rpu", "aalc_sensor_alarm", 3, 37376, [0x8000], "unit_alarm", "sensors", 2.0),
    Case("meta_orv3_rpu", "aalc_status_alarm", 3, 37377, [0x0402], "unit_alarm", "", 2.0),
    Case("meta_orv3_rpu", "leakage", 3, 37378, [0x1100], "leak_state", "", 1.0),
    Case("meta_orv3_rpu", "hex_alarm", 3, 37379, [0x0000], "unit_alarm", "hex", 0.0),
    Case("meta_orv3_rpu", "aalc_total_pwr_ext_w", 3, 41005, [0x1C20], "power_watts", "", 7200.0),
    Case("eaton_rpp", "breaker1_rating", 4, 1033, [0x0000, 0x00E1], "breaker_rating_amperes", "branch/1", 225.0, 17),
    Case("eaton_rpp", "breaker1_current_l1", 4, 1037, [0x42CB, 0x0000], "current_amperes", "branch/1/L1", 101.5, 17),
    Case("eaton_rpp", "breaker1_current_l2", 4, 1039, [0x42C6, 0x8000], "current_amperes", "branch/1/L2", 99.25, 17),
    Case("eaton_rpp", "breaker1_current_l3", 4, 1041, [0x0000, 0x0000], "current_amperes", "branch/1/L3", 0.0, 17),
    Case("eaton_rpp", "breaker1_power_l1", 4, 1055, [0x46BD, 0xEA80], "power_watts", "branch/1/L1", 24309.25, 17),
    Case("eaton_rpp", "panel_voltage_l1", 4, 4010, [0x436F, 0x8000], "voltage_volts", "L1", 239.5, 1)]
# fmt: on


def image_of(profile):
    """What the device holds: every word of the profile's cases, and zeros in between."""
    image = {}
    for case in CASES:
        if case.profile == profile:
            for offset, word in enumerate(case.words):
                image[case.unit_offset, case.function, case.address + offset] = word
    return image


def read(profile):
    image = image_of(profile)
    answers = []
    for group in Group:
        for block in plan(profiles.load(profile), group):
            places = range(block.address, block.address + block.count)
            words = [image.get((block.unit_offset, block.function, place), 0) for place in places]
            answers.append((block, b"".join(word.to_bytes(2, "big") for word in words)))
    return {(reading.metric.name, reading.part): reading.value for reading in decode(answers)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.profile}-{case.key}")
def test_the_words_mean_what_the_map_says(case):
    assert read(case.profile).get((case.metric, case.part)) == case.value


@pytest.mark.parametrize("profile", profiles.names())
def test_every_point_that_ships_has_a_case_and_gives_nothing_else(profile):
    expected = {(case.metric, case.part) for case in CASES if case.profile == profile and case.value is not None}
    assert set(read(profile)) == expected
    cases = {(c.unit_offset, c.function, c.address) for c in CASES if c.profile == profile}
    assert {(p.unit_offset, p.function, p.address) for p in profiles.load(profile).points} == cases


@pytest.mark.parametrize("profile", profiles.names())
def test_a_device_that_serves_zeros_while_it_starts_gives_no_zero(profile):
    answers = [(block, bytes(block.size)) for group in Group for block in plan(profiles.load(profile), group)]
    readings = decode(answers)
    has_gate = any(point.nonzero for point in profiles.load(profile).points)
    assert has_gate
    assert readings == ()


@pytest.mark.parametrize("profile", profiles.names())
@pytest.mark.parametrize("filler", [0xFF, 0x7F, 0x80])
def test_a_device_filled_with_one_byte_gives_no_number_out_of_range(profile, filler):
    loaded = profiles.load(profile)
    ranges = {(p.metric, p.part): p.valid for p in loaded.points}
    answers = [(block, bytes([filler]) * block.size) for group in Group for block in plan(loaded, group)]
    for reading in decode(answers):
        low, high = ranges[reading.metric, reading.part] or (0.0, 70_000.0)
        assert low <= reading.value <= high


def test_what_is_unverified_is_optional():
    for name in profiles.names():
        profile = profiles.load(name)
        if profile.verified == "none" and name != "raritan_px":
            assert all(point.optional for point in profile.points), name


def test_a_full_register_gives_way_to_the_wider_one_and_only_then():
    full = read("meta_orv3_rpu")["power_watts", ""]
    assert full == 7200.0
    loaded = profiles.load("meta_orv3_rpu")
    answers = []
    for block in plan(loaded, Group.FAST):
        words = {36870: 65534, 41005: 7200, 36871: 512}
        data = [words.get(place, 0) for place in range(block.address, block.address + block.count)]
        answers.append((block, b"".join(word.to_bytes(2, "big") for word in data)))
    powers = [r.value for r in decode(answers) if r.metric.name == "power_watts" and not r.part]
    assert powers == [6553.4]


@pytest.mark.parametrize(
    ("word", "state"), [(0, 0.0), (0b1111, 0.0), (1 << 4, 1.0), (1 << 11, 1.0), (1 << 13, 2.0), (1 << 13 | 1 << 9, 1.0)]
)
def test_a_leak_outranks_a_broken_leak_sensor_and_a_stopped_chassis_is_no_leak(word, state):
    loaded = profiles.load("meta_orv3_rpu")
    answers = []
    for block in plan(loaded, Group.FAST):
        words = {37378: word, 36871: 512}
        data = [words.get(place, 0) for place in range(block.address, block.address + block.count)]
        answers.append((block, b"".join(w.to_bytes(2, "big") for w in data)))
    assert [r.value for r in decode(answers) if r.metric.name == "leak_state"] == [state]


@pytest.mark.parametrize(
    ("raw", "state"), [(0, 0.0), (2, 1.0), (4, 2.0), (8, 3.0), (1, None), (3, None), (65535, None)]
)
def test_a_status_number_that_the_map_does_not_know_is_no_state(raw, state):
    block = plan(profiles.load("apc_inrow_sc"), Group.FAST)[0]
    found = [reading.value for reading in decode([(block, raw.to_bytes(2, "big"))])]
    assert found == ([] if state is None else [state])
