"""Programs that try to exhaust the machine or to exceed their limits. Data only; the others are in hostile_attacks.

Each runs after the prelude of `tests/support/sandbox_batch.py`: `attempt(what, work)` prints `held:` when the work is
refused and `ESCAPED:` when it isn't; `raw` makes a system call; C holds the targets of the attacks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

LIMITS = {"cpu_seconds": 1.0, "wall_seconds": 8.0, "memory_bytes": 256 * 2**20, "tmpfs_bytes": 8 * 2**20}
SHORT = {**LIMITS, "wall_seconds": 1.0}


@dataclass(frozen=True)
class Hostile:
    """A program, and its permitted outcomes."""

    source: str
    ends: frozenset[str] = frozenset({"finished"})
    """Permitted final states. A program that finishes must have reached its end, with at least one refusal."""
    says: str = ""
    """Part of the reason for which it was terminated."""
    limits: dict[str, float] = field(default_factory=lambda: dict(LIMITS))
    stdin: str = ""
    prints: str = "held:"
    """Output that a program that finishes must have printed."""


def ended(*states: str, source: str, says: str = "", limits: dict[str, float] | None = None) -> Hostile:
    return Hostile(source, frozenset(states), says, limits or dict(LIMITS))


EXHAUSTING = {
    "endless loop": ended("time", source="while True: pass", says="processor time"),
    "every signal ignored": ended(
        "time",
        says="processor time",
        source="""
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True: pass
""",
    ),
    "a number without end": ended("time", "memory", source="10**10**9"),
    "catastrophic regular expression": ended(
        "time", says="processor time", source="import re\nre.match(r'(a+)+$', 'a' * 64 + 'b')"
    ),
    "sleep with all signals blocked": ended(
        "time",
        says="not finished",
        limits=SHORT,
        source="signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\ntime.sleep(1e6)",
    ),
    "stopped by its own hand": ended(
        "time", says="not finished", limits=SHORT, source="os.kill(os.getpid(), signal.SIGSTOP)\ntime.sleep(1e6)"
    ),
    "its pipes closed": ended(
        "time", says="not finished", limits=SHORT, source="os.closerange(0, 64)\nwhile True: time.sleep(1)"
    ),
    "an exit handler that doesn't return": ended(
        "time", says="not finished", limits=SHORT, source="import atexit\natexit.register(lambda: time.sleep(1e6))"
    ),
    "a thread that keeps it alive": ended(
        "time",
        says="not finished",
        limits=SHORT,
        source="import threading\nthreading.Thread(target=time.sleep, args=(1e6,)).start()",
    ),
    "a generator without end": ended(
        "time", "memory", source="def f():\n    while True:\n        yield 1\nset(f())", says="processor time"
    ),
    "50 GB at once": ended("memory", source="bytearray(50 * 2**30)"),
    "a growing list": ended("memory", source="kept = []\nwhile True: kept.append(b'x' * 2**20)"),
    "a compressed bomb": ended(
        "memory",
        "time",
        source="import zlib\nbomb = zlib.compressobj(1)\n"
        "small = b''.join(bomb.compress(bytes(2**20)) for _ in range(260))\n"
        "zlib.decompress(small + bomb.flush())",
    ),
    "mapped memory": Hostile("import mmap\nattempt('4 GB', lambda: mmap.mmap(-1, 4 * 2**30))"),
    "recursion without end": ended(
        "killed", "memory", "time", source="sys.setrecursionlimit(10**9)\ndef f(x): return f((x,))\nf(0)"
    ),
    "a hundred thousand brackets": ended(
        "finished",
        "killed",
        "memory",
        source="for text in ('(' * 10**5, '-' * 10**6 + '1'):\n    attempt('compile', lambda: eval(text))",
    ),
    "fills the temporary folder": Hostile(
        """
def fill(name, size):
    with open(name, "wb", buffering=0) as file:
        for _ in range(size):
            if file.write(bytes(2**20)) < 2**20:
                raise OSError("full")
attempt("one large file", lambda: fill("/tmp/large", 9))
def several():
    for number in range(4):
        fill(f"/tmp/{number}", 3)
attempt("several files", several)
"""
    ),
    "floods standard output": ended("output", source="while True: print('x' * 1000)"),
    "floods standard error": ended("output", source="while True: print('x' * 1000, file=sys.stderr)"),
    "floods every file descriptor": ended(
        "output",
        source="for fd in range(64):\n    try:\n        while True: os.write(fd, b'x' * 65536)\n"
        "    except OSError:\n        pass",
    ),
    "fork bomb": Hostile(
        """
def bomb():
    while True:
        os.fork()
attempt("fork", bomb)
attempt("raw fork", lambda: raw("fork") if "fork" in N else os.fork())
attempt("raw vfork", lambda: raw("vfork") if "vfork" in N else os.fork())
attempt("clone as fork", lambda: raw("clone", 17, 0, 0, 0, 0))
attempt("clone with a new namespace", lambda: raw("clone", 0x10000000 | 17, 0, 0, 0, 0))
attempt("clone3", lambda: raw("clone3", ctypes.create_string_buffer(88), 88))
"""
    ),
    "forks that each take 300 MB": Hostile(
        """
import multiprocessing, subprocess
def each():
    for _ in range(8):
        if os.fork() == 0:
            kept = bytearray(300 * 2**20)
            time.sleep(600)
attempt("forks", each)
attempt("multiprocessing", lambda: multiprocessing.get_context("fork").Process(target=bytearray, args=(1,)).start())
attempt("subprocess", lambda: subprocess.run([sys.executable, "-c", "pass"]))
attempt("posix_spawn", lambda: os.posix_spawn(sys.executable, [sys.executable, "-c", "pass"], {}))
attempt("system", lambda: os.system("true") and (_ for _ in ()).throw(OSError("no shell")))
attempt("pseudo-terminal", lambda: __import__("pty").fork())
"""
    ),
    "thread bomb": ended(
        "killed",
        says="threads",
        source="import threading\nthreading.stack_size(32768)\n"
        "while True:\n    try:\n        threading.Thread(target=time.sleep, args=(600,)).start()\n"
        "    except RuntimeError:\n        time.sleep(0.01)",
    ),
    "double-fork daemon": Hostile(
        """
def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
attempt("daemon", daemon)
attempt("setsid", os.setsid)
attempt("setpgid", lambda: os.setpgid(0, 0))
"""
    ),
    "starts another program": Hostile(
        """
attempt("exec python", lambda: os.execv(sys.executable, [sys.executable, "-c", "print('ESCAPED')"]))
attempt("exec a shell", lambda: os.execv("/bin/sh", ["sh", "-c", "echo ESCAPED"]))
attempt("memfd", lambda: os.memfd_create("x"))
attempt("execveat", lambda: raw("execveat", os.open(sys.executable, os.O_PATH), b"", 0, 0, 0x1000))
attempt("loader", lambda: os.execv("/lib64/ld-linux-x86-64.so.2", ["ld", sys.executable]))
"""
    ),
}
"""Programs by name."""
