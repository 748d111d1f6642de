"""Tests of the system-call filter: the tables of both architectures, and each filter's decisions, by executing its BPF
program.
"""

from __future__ import annotations

import errno
import re
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.tasks.sandbox import landlock
from engine.tasks.sandbox.seccomp import ALLOW, ALLOWED, AUDIT_ARCH, KILL_PROCESS, OWN_PID, REFUSED, TABLES, build

MACHINES = ("x86_64", "aarch64")
HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", r"#define __NR_(\w+)\s+(\d+)"),
    "aarch64": ("/usr/include/asm-generic/unistd.h", r"#define __NR(?:3264)?_(\w+)\s+(\d+)"),
}
REFUSE = 0x50000
KNOWN_AARCH64 = {"read": 63, "openat": 56, "clone": 220, "execve": 221, "ptrace": 117, "socket": 198, "bpf": 280}


def answer(program: bytes, machine: str, number: int, arguments: Sequence[int] = (), arch: int | None = None) -> int:
    """Return the kernel's decision on a call: executes the BPF program over `struct seccomp_data`."""
    wide = [value & 2**64 - 1 for value in (*arguments, *[0] * (6 - len(arguments)))]
    data = struct.pack("=iIQ6Q", number, AUDIT_ARCH[machine] if arch is None else arch, 0, *wide)
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    at, accumulator = 0, 0
    while True:
        operation, if_true, if_false, value = code[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif operation == 0x06:
            return int(value)
        else:
            holds = {
                0x15: accumulator == value,
                0x35: accumulator >= value,
                0x25: accumulator > value,
                0x45: bool(accumulator & value),
            }[operation]
            at += if_true if holds else if_false


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_are_the_kernels(machine: str) -> None:
    """A wrong number would allow one call and refuse another. Compared with the kernel's headers where present."""
    table = TABLES[machine]
    path, pattern = HEADERS[machine]
    if not Path(path).exists():
        pytest.skip(f"no kernel headers in {path} (package linux-libc-dev)")
    found: dict[str, int] = {}
    for name, number in re.findall(pattern, Path(path).read_text()):
        found.setdefault({"fstatat": "newfstatat"}.get(name, name), int(number))
    newer = {name for name in table if name not in found}
    assert newer <= {"fchmodat2", "futex_waitv", "memfd_secret"}, "only calls newer than the headers may be missing"
    assert {name: number for name, number in table.items() if name not in newer} == {
        name: found[name] for name in table if name not in newer
    }


def test_the_second_table_is_not_the_first() -> None:
    """The two architectures number their calls differently; this also holds without headers."""
    assert {name: TABLES["aarch64"][name] for name in KNOWN_AARCH64} == KNOWN_AARCH64
    assert {"open", "fork", "vfork", "dup2"}.isdisjoint(TABLES["aarch64"])
    for machine in MACHINES:
        numbers = list(TABLES[machine].values())
        assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_is_answered_as_written(machine: str) -> None:
    """Allowed calls pass, known escapes are refused, and an unlisted call does not exist."""
    table, program = TABLES[machine], build(machine)
    assert len(program) // 8 < 4096, "the kernel takes no longer filter"
    assert not ALLOWED & REFUSED
    for name in ALLOWED & set(table):
        assert answer(program, machine, table[name]) == ALLOW, name
    for name in REFUSED & set(table):
        assert answer(program, machine, table[name]) == REFUSE | errno.EPERM, name
    named = set(table.values())
    for number in [*range(0, 700), 2**20, 0x3FFFFFFF]:
        if number not in named:
            assert answer(program, machine, number) == REFUSE | errno.ENOSYS, number
    assert answer(program, machine, table["clone3"]) == REFUSE | errno.ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_of_another_processor_end_the_process(machine: str) -> None:
    """The same number means another call in a 32-bit program: `int 0x80` must not get past the filter."""
    program = build(machine)
    for arch in (0x40000003, 0x40000028, 0, AUDIT_ARCH["aarch64" if machine == "x86_64" else "x86_64"]):
        assert answer(program, machine, TABLES[machine]["read"], arch=arch) == KILL_PROCESS
    if machine == "x86_64":
        assert answer(program, machine, 0x40000000 | TABLES[machine]["read"]) == KILL_PROCESS


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("call", "arguments", "allowed"),
    [
        ("clone", (0x3D0F00,), True),  # a thread of glibc
        ("clone", (0x7D0F00,), True),  # a thread of musl
        ("clone", (17,), False),  # fork
        ("clone", (0x4111,), False),  # vfork
        ("clone", (0x3D0F00 | 0x10000000,), False),  # a thread in a new user namespace
        ("clone", (0x3D0F00 & ~0x10000,), False),  # a process that shares everything
        ("kill", (OWN_PID, 9), True),
        ("kill", (1, 9), False),
        ("kill", (-1, 9), False),
        ("tgkill", (OWN_PID, 12, 9), True),
        ("tgkill", (12, 12, 9), False),
        ("prlimit64", (0, 3, 0, 1), True),
        ("prlimit64", (0, 3, 2**32, 0), False),  # a new limit, at an address whose low half is zero
        ("prlimit64", (0, 3, 8, 0), False),
        ("prlimit64", (1, 3, 0, 1), False),
        ("prctl", (15,), True),
        ("prctl", (1,), False),
        ("prctl", (22,), False),
        ("ioctl", (0, 0x5401), True),
        ("ioctl", (0, 0x5412), False),  # TIOCSTI
        ("ioctl", (0, 2**32 | 0x5412), False),
        ("fcntl", (0, 1030), True),
        ("fcntl", (0, 8), False),  # F_SETOWN
    ],
)
def test_calls_that_depend_on_their_arguments(
    machine: str, call: str, arguments: tuple[int, ...], allowed: bool
) -> None:
    """Threads but no processes, signals to the own process only, resource limits and terminals may only be queried."""
    found = answer(build(machine), machine, TABLES[machine][call], arguments)
    assert found == (ALLOW if allowed else REFUSE | errno.EPERM)


@pytest.mark.parametrize("machine", MACHINES)
def test_nothing_can_be_emptied_where_landlock_does_not_see_it(machine: str) -> None:
    """Before its third version Landlock allows `open` to truncate a readable file."""
    program, number = build(machine, truncation=False), TABLES[machine]["openat"]
    assert answer(program, machine, number, (0, 0, 0o1000)) == REFUSE | errno.EACCES
    assert answer(program, machine, number, (0, 0, 0)) == ALLOW
    assert answer(build(machine), machine, number, (0, 0, 0o1000)) == ALLOW


def test_the_own_process_id_stands_where_it_can_be_put_in() -> None:
    """`confined_program.py` replaces the placeholder: it occurs once per call that sends signals, and nowhere else."""
    for machine in MACHINES:
        assert build(machine).count(OWN_PID.to_bytes(4, "little")) == 3


@pytest.mark.parametrize(("abi", "size"), [(1, 8), (2, 8), (3, 8), (4, 16), (5, 16), (6, 24), (7, 24)])
def test_landlock_governs_all_that_its_version_knows(abi: int, size: int) -> None:
    """A right that is not governed is allowed; one that the kernel doesn't know is an error."""
    attributes = landlock.attributes(abi)
    assert len(attributes) == size
    (files,) = struct.unpack_from("=Q", attributes)
    assert files == (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)) - 1
