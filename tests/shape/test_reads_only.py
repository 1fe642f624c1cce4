"""The never-write proof from the source: no call that could change a device, and no socket where none belongs.

What arrives on the wire is proven by the simulator's record; this says why nothing else can.
"""

from __future__ import annotations

import ast
import importlib
import re

from keeld.links.modbus_frames import READ_FUNCTIONS
from keeld.links.tcp_json import ReadCommand

MODBUS_WRITES = re.compile(r"(mask_)?(write_|readwrite_|diag_)(coil|register|file|single|multiple|regs)\w*|diag_\w+")
NVML_NAME = re.compile(r"nvml[A-Z]\w*")
NVML_READS = re.compile(
    r"nvml("
    r"(Device|System)Get\w+|Init\w*|Shutdown"
    r"|EventSet(Create|Wait|Free)(_v\d)?|DeviceRegisterEvents"  # waiting to be told: nothing is set on the GPU
    r"|Memory_v2|Lib|Return"  # a type, and what the simulated library stands in for
    r")"
)
MINER_WRITES = re.compile(
    r"set|switch|enable|disable|add|remove|restart|reboot|power_(on|off|mode)|adjust|update|upgrade|save|write|zero|quit"
    r"|ascset|pgaset|failover|curtail|sleep|fan(set)?|logon|session|token|download|factory|led"
)
MINER_READS = {
    "stats", "power", "summary", "pools", "version", "config", "devs", "edevs", "status", "get_version",
    "get_miner_info", "get_psu", "devdetails",
}  # fmt: skip
SOCKETS = {"socket", "ssl", "http", "urllib3", "smtplib", "ftplib", "telnetlib", "socketserver", "aiohttp", "requests"}
OPENERS = {
    "open_connection", "open_unix_connection", "create_connection", "create_unix_connection", "create_server",
    "create_unix_server", "start_server", "start_unix_server", "create_datagram_endpoint", "sock_connect",
}  # fmt: skip
MAY_OPEN = (
    "keeld.links", "keeld.sinks", "keeld.notify", "keeld.certificates", "keeld.web", "keeld.simulate", "keeld.demo",
    "keeld.systemd", "keeld.cli.running",
)  # fmt: skip


def imported(tree: ast.Module) -> set[str]:
    """Every module that a source names in an import, wherever in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def words(tree: ast.Module) -> set[str]:
    """Every name, attribute and text in a source, docstrings left out by their spaces."""
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    found |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found |= {name.rpartition(".")[2] for name in imported(tree)}
    return found | {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def belongs(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def test_only_links_know_the_modbus_library(sources):
    users = {
        source.module for source in sources if any(name.split(".")[0] == "pymodbus" for name in imported(source.tree))
    }
    assert users == {"keeld.links.modbus", "keeld.links.modbus_frames"}


def test_of_the_modbus_library_no_request_is_imported_and_no_write_named(sources):
    taken, written = set(), []
    for source in sources:
        taken |= {name for name in imported(source.tree) if name.startswith("pymodbus")}
        written += [f"{source.path} {word}" for word in words(source.tree) if MODBUS_WRITES.fullmatch(word)]
    assert written == []
    assert {name.rpartition(".")[2] for name in taken} <= {
        "AsyncModbusTcpClient", "ModbusException", "FramerSocket", "DecodePDU", "ModbusPDU",
    }  # fmt: skip
    assert {1, 2, 3, 4} == READ_FUNCTIONS


def test_the_pattern_knows_the_librarys_own_writes():
    from pymodbus.client.mixin import ModbusClientMixin

    writes = [name for name in dir(ModbusClientMixin) if "write" in name]
    assert len(writes) >= 6
    assert [name for name in writes if not MODBUS_WRITES.fullmatch(name)] == []


def test_every_call_to_the_nvidia_library_reads(sources):
    called = {(source.path, word) for source in sources for word in words(source.tree) if NVML_NAME.fullmatch(word)}
    assert len(called) > 20
    assert [call for call in sorted(called) if not NVML_READS.fullmatch(call[1])] == []


def test_the_pattern_refuses_the_librarys_own_setters():
    import pynvml

    verbs = re.compile(r"nvml\w+?(Set|Reset|Clear|Destroy|Freeze|Modify|Remove|Discover)[A-Z]\w*")
    setters = [name for name in dir(pynvml) if verbs.fullmatch(name) and not re.match(r"nvml\w*?(Get|EventSet)", name)]
    assert len(setters) > 40
    assert [name for name in setters if NVML_READS.fullmatch(name)] == []


def test_every_command_to_a_miner_is_a_known_read():
    for driver in ("antminer", "whatsminer"):
        importlib.import_module(f"keeld.drivers.{driver}")
    commands = [command for family in ReadCommand.__subclasses__() for command in family]
    assert len(commands) > 10
    for command in commands:
        (name,) = re.fullmatch(rb'\{"command":"([a-z_+]+)"\}', command.value).groups()
        parts = set(name.decode().split("+"))
        assert parts <= MINER_READS, command
        assert not any(MINER_WRITES.fullmatch(part) for part in parts), command


def test_sockets_are_opened_only_where_they_belong(sources):
    opened = [
        source.path
        for source in sources
        if not belongs(source.module, MAY_OPEN)
        and ({name.split(".")[0] for name in imported(source.tree)} & SOCKETS or words(source.tree) & OPENERS)
    ]
    assert opened == []


def test_no_source_hides_what_it_calls(sources):
    """What these tests read is all there is: modules imported by name are the package's own, and no text is run."""
    called: dict[str, set[str]] = {}
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                called.setdefault(name, set()).add(ast.unparse(node.args[0]) if node.args else "")
    assert not called.keys() & {"eval", "exec", "__import__"}
    assert called["CDLL"] == {"None"}  # the C library, to end with the parent
    assert all(name.startswith("f'keeld.") for name in called["import_module"]), called["import_module"]
