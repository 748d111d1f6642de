"""Builds the system-call filter of the sandbox as a BPF program.

The filter is an allow-list of the calls that a single Python process needs for computation. Known ways of escape return
EPERM; all other calls return ENOSYS, so that C libraries fall back to permitted calls. Independent of how the filter is
installed.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from engine.tasks.sandbox.syscalls import AARCH64, X86_64

Processor = Literal["x86_64", "aarch64"]

TABLES: Mapping[str, Mapping[str, int]] = {"x86_64": X86_64, "aarch64": AARCH64}
"""System call → number, by processor."""

OWN_PID = 0xFEEDC0DE
"""Placeholder in a filter for the own process id, known only inside the sandbox: `confined_program.py` replaces it."""

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
_ERRNO = 0x00050000

_LOAD, _EQUAL, _AT_LEAST, _ABOVE, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x25, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000

_THREAD_FLAGS = 0x007D0F00
"""The flags with which C libraries call `clone` for a thread: shared memory, files, signals and thread group, recorded
ids. musl adds CLONE_DETACHED, which has no effect."""
_CLONE_THREAD = 0x00010000
_O_TRUNC = 0o1000

ALLOWED = frozenset(
    # files: visibility and write access are restricted by the file system
    "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close close_range fstat stat lstat "
    "newfstatat statx statfs fstatfs access faccessat faccessat2 readlink readlinkat getcwd chdir fchdir getdents "
    "getdents64 open openat mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink "
    "symlinkat ftruncate fallocate fsync fdatasync dup dup2 dup3 pipe pipe2 poll ppoll select pselect6 epoll_create "
    "epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2 timerfd_create timerfd_settime timerfd_gettime sendfile "
    "copy_file_range flock fadvise64 umask "
    # memory
    "mmap mprotect munmap mremap madvise brk msync mincore membarrier "
    # the process itself, its threads, signals and clocks
    "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause futex "
    "futex_waitv set_robust_list rseq set_tid_address exit exit_group wait4 waitid getpid getppid gettid getuid "
    "geteuid getgid getegid getgroups getresuid getresgid getpgid getpgrp getsid uname sysinfo getrlimit getrusage "
    "times getcpu sched_getaffinity sched_yield sched_getparam sched_getscheduler sched_get_priority_max "
    "sched_get_priority_min getpriority clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time alarm "
    "setitimer getitimer timer_create timer_settime timer_gettime timer_delete timer_getoverrun getrandom "
    "restart_syscall".split()
)
"""Calls that are allowed with any arguments."""

REFUSED = frozenset(
    # other processes: creating them, reading their memory, sending them signals
    "fork vfork execve execveat ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_open pidfd_getfd "
    "pidfd_send_signal rt_sigqueueinfo rt_tgsigqueueinfo setpriority sched_setaffinity sched_setscheduler "
    "sched_setparam sched_setattr ioprio_set migrate_pages move_pages setpgid setsid "
    # communication
    "socket socketpair connect bind listen accept accept4 sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg shmget "
    "shmat shmctl semget msgget mq_open keyctl add_key request_key memfd_create memfd_secret "
    # interfaces that enlarge the attack surface of the kernel
    "io_uring_setup io_uring_enter io_uring_register bpf perf_event_open userfaultfd seccomp personality modify_ldt "
    "iopl ioperm splice tee vmsplice inotify_init inotify_init1 fanotify_init kexec_load init_module finit_module "
    "delete_module syslog quotactl landlock_create_ruleset landlock_add_rule landlock_restrict_self "
    # changing the view of the file system
    "mount umount2 pivot_root chroot unshare setns open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr "
    "name_to_handle_at open_by_handle_at swapon swapoff acct reboot sethostname setdomainname "
    # not covered by Landlock: owners, modes, times and attributes of read-only files
    "chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes utimensat futimesat setxattr lsetxattr "
    "fsetxattr removexattr lremovexattr fremovexattr truncate creat mknod mknodat "
    # the process's limits and identity
    "setrlimit setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid capset".split()
)
"""Calls that return EPERM; all other calls that are not allowed return ENOSYS."""


@dataclass(frozen=True, slots=True)
class _Only:
    """A call that is allowed only if an argument has one of these values, compared as 32 bits."""

    call: str
    argument: int
    values: tuple[int, ...]


_CONDITIONS = (
    _Only("kill", 0, (OWN_PID,)),
    _Only("tkill", 0, (OWN_PID,)),
    _Only("tgkill", 0, (OWN_PID,)),
    # Setting and getting the thread's name.
    _Only("prctl", 0, (15, 16)),
    # Terminal check and size, readable bytes, close-on-exec, non-blocking mode. Not TIOCSTI, not FIOSETOWN.
    _Only("ioctl", 1, (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)),
    # Duplication, flags, locks. Not F_SETOWN and F_SETSIG, by which the kernel sends signals to a file's owner.
    _Only("fcntl", 1, (0, 1, 2, 3, 4, 5, 6, 7, 1030)),
)

_Instruction = tuple[int, int, int, int]


def processor() -> Processor | None:
    """Return the processor of this machine, or None if there is no system-call table for it."""
    machine = platform.machine()
    if machine == "x86_64":
        return "x86_64"
    return "aarch64" if machine in ("aarch64", "arm64") else None


def build(machine: Processor, *, truncation: bool = True) -> bytes:
    """Build the filter as an array of `struct sock_filter`, with OWN_PID in place of the process's own id.

    With `truncation=False` no file can be opened with O_TRUNC, which Landlock before version 3 does not restrict.
    """
    table = TABLES[machine]
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, AUDIT_ARCH[machine]),
        _give(KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if machine == "x86_64":
        program += [(_AT_LEAST, 0, 1, _X32), _give(KILL_PROCESS)]
    for rule in _CONDITIONS:
        if rule.call in table:
            program += _only_for(table[rule.call], _argument_is(rule.argument, rule.values))
    program += _only_for(table["clone"], _thread())
    program += _only_for(table["prlimit64"], _limits_of_self_read())
    if not truncation:
        for call, argument in (("open", 1), ("openat", 2)):
            if call in table:
                program += _only_for(table[call], _without_bit(argument, _O_TRUNC, errno.EACCES))
    program += _numbers((table[name] for name in ALLOWED if name in table), ALLOW)
    program += _numbers((table[name] for name in REFUSED if name in table), _ERRNO | errno.EPERM)
    program.append(_give(_ERRNO | errno.ENOSYS))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _give(action: int) -> _Instruction:
    return (_RETURN, 0, 0, action)


def _low(argument: int) -> _Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * argument)


def _high(argument: int) -> _Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * argument + 4)


def _only_for(number: int, block: list[_Instruction]) -> list[_Instruction]:
    """Prefix a block, which has to end in a return, with a jump that skips it for calls with another number."""
    return [(_EQUAL, 0, len(block), number), *block]


def _argument_is(argument: int, values: tuple[int, ...]) -> list[_Instruction]:
    compare = [(_EQUAL, len(values) - place, 0, value) for place, value in enumerate(values)]
    return [_low(argument), *compare, _give(_ERRNO | errno.EPERM), _give(ALLOW)]


def _thread() -> list[_Instruction]:
    """Allow `clone` for a thread and nothing else."""
    return [
        _low(0),
        (_ANY_BIT, 2, 0, ~_THREAD_FLAGS & 0xFFFFFFFF),
        (_ANY_BIT, 0, 1, _CLONE_THREAD),
        _give(ALLOW),
        _give(_ERRNO | errno.EPERM),
    ]


def _limits_of_self_read() -> list[_Instruction]:
    """Allow `prlimit64` of process 0 (itself) without a new limit, by which C libraries read the stack size."""
    return [
        _low(0),
        (_EQUAL, 0, 5, 0),
        _low(2),
        (_EQUAL, 0, 3, 0),
        _high(2),
        (_EQUAL, 0, 1, 0),
        _give(ALLOW),
        _give(_ERRNO | errno.EPERM),
    ]


def _without_bit(argument: int, bit: int, error: int) -> list[_Instruction]:
    return [_low(argument), (_ANY_BIT, 0, 1, bit), _give(_ERRNO | error), _give(ALLOW)]


def _numbers(numbers: Iterable[int], action: int) -> list[_Instruction]:
    """Return the action for these call numbers; consecutive numbers are compared as ranges."""
    program: list[_Instruction] = []
    ordered = sorted(numbers)
    start = 0
    while start < len(ordered):
        end = start
        while end + 1 < len(ordered) and ordered[end + 1] == ordered[end] + 1:
            end += 1
        if start == end:
            program += [(_EQUAL, 0, 1, ordered[start]), _give(action)]
        else:
            program += [(_AT_LEAST, 0, 2, ordered[start]), (_ABOVE, 1, 0, ordered[end]), _give(action)]
        start = end + 1
    return program
