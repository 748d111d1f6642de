"""Programs that try to get out of the sandbox: network access, reads, writes, attacks on other processes, privilege
escalation. Data only.

They run like those of `hostile_programs`, whose docstring explains `attempt`, `raw` and C.
"""

from __future__ import annotations

from tests.faults.hostile_programs import LIMITS, Hostile, ended

ATTACKING = {
    "connects": Hostile(
        """
import socket
attempt("loopback", lambda: socket.create_connection(("127.0.0.1", C["tcp"]), timeout=1))
attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", C["udp"])))
attempt("name", lambda: socket.getaddrinfo("localhost.example.org", 80))
attempt("ipv6", lambda: socket.socket(socket.AF_INET6))
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt("packet", lambda: raw("socket", 17, 3, 0))
attempt("netlink", lambda: raw("socket", 16, 3, 0))
attempt("vsock", lambda: raw("socket", 40, 1, 0))
attempt("alg", lambda: raw("socket", 38, 5, 0))
attempt("bluetooth", lambda: raw("socket", 31, 3, 1))
"""
    ),
    "local sockets": Hostile(
        """
import socket
def talk(kind, name):
    with socket.socket(socket.AF_UNIX, kind) as one:
        one.connect(name)
        one.send(b"x")
attempt("abstract stream", lambda: talk(socket.SOCK_STREAM, C["abstract"]))
attempt("abstract datagram", lambda: talk(socket.SOCK_DGRAM, C["abstract"] + "-d"))
attempt("pair", socket.socketpair)
attempt("docker", lambda: talk(socket.SOCK_STREAM, "/var/run/docker.sock"))
attempt("bus", lambda: talk(socket.SOCK_STREAM, "/run/dbus/system_bus_socket"))
"""
    ),
    "shared memory and queues": Hostile(
        """
attempt("shmget", lambda: raw("shmget", 7, 4096, 0o1666))
attempt("semget", lambda: raw("semget", 7, 1, 0o1666))
attempt("msgget", lambda: raw("msgget", 7, 0o1666))
attempt("mq_open", lambda: raw("mq_open", b"x", 0o102, 0o666, 0))
attempt("posix shared memory", lambda: open("/dev/shm/reflectevo", "w"))
attempt("shared_memory", lambda: __import__("multiprocessing.shared_memory").shared_memory.SharedMemory("x", True, 64))
attempt("memfd_secret", lambda: raw("memfd_secret", 0))
"""
    ),
    "reads secrets": Hostile(
        """
names = [C["canary"], f"/proc/{C['engine']}/environ", f"/proc/{C['engine']}/cmdline", f"/proc/{C['engine']}/maps",
    "/proc/1/environ", "/proc/self/environ", "/proc/self/maps", "/etc/passwd", "/etc/shadow", "/etc/hostname",
    "/root/.ssh/id_rsa", os.path.expanduser("~/.bash_history"), "/var/log/syslog", "/sys/kernel/notes", "/dev/mem",
    "/dev/kmsg", "/dev/vda", "/proc/kcore", "/proc/self/root" + C["canary"], "/proc/self/cwd/" + C["canary"]]
for name in names:
    attempt(name, lambda: open(name, "rb").read(64))
def others(name):
    ways = [name.rstrip("/") + "/" + one for one in os.listdir(name)]
    found = [way for way in ways if not any((path + "/").startswith(way + "/") for path in C["python"])]
    if not found:
        raise OSError("nothing but the way to Python")
    return found
for name in ("", "/home", "/root", "/proc", "/etc", "/sys", "/var", "/run", "/usr", "/usr/lib", "/dev", C["home"]):
    attempt("list " + name, lambda: others(name or "/"))
if os.environ or _libc.getenv(b"PATH") or _libc.getenv(b"REFLECTEVO_TEST_SECRET"):
    print("ESCAPED: environment", dict(os.environ))
"""
    ),
    "reads the engine's memory": Hostile(
        """
address, size = C["address"]
buffer = ctypes.create_string_buffer(size)
vector = (ctypes.c_ulong * 2)(ctypes.addressof(buffer), size)
remote = (ctypes.c_ulong * 2)(address, size)
for pid in (C["engine"], C["victim"], 1, os.getppid()):
    attempt("process_vm_readv", lambda: raw("process_vm_readv", pid, vector, 1, remote, 1, 0))
    attempt("process_vm_writev", lambda: raw("process_vm_writev", pid, vector, 1, remote, 1, 0))
    attempt("mem", lambda: open(f"/proc/{pid}/mem", "rb").read(1))
    attempt("attach", lambda: raw("ptrace", 16, pid, 0, 0))
    attempt("seize", lambda: raw("ptrace", 0x4206, pid, 0, 0))
    attempt("pidfd", lambda: raw("pidfd_open", pid, 0))
    attempt("kcmp", lambda: raw("kcmp", os.getpid(), pid, 0, 1, 1))
attempt("traceme", lambda: raw("ptrace", 0, 0, 0, 0))
attempt("pidfd_getfd", lambda: raw("pidfd_getfd", 0, 0, 0))
"""
    ),
    "its own memory as a file": Hostile(
        "attempt('mem', lambda: open('/proc/self/mem', 'r+b'))\n"
        "attempt('thread', lambda: open('/proc/thread-self/mem', 'r+b'))\n"
        "attempt('fd', lambda: open('/proc/self/fd/0', 'r+b', buffering=0).write(b'x'))\n"
        "attempt('stdin', lambda: os.write(0, b'x'))"
    ),
    "symbolic links": Hostile(
        """
def through_link(target):
    os.symlink(target, "/tmp/link")
    try:
        return open("/tmp/link", "rb").read(64)
    finally:
        os.unlink("/tmp/link")
for target in (C["canary"], f"/proc/{C['engine']}/root" + C["canary"], "/../../.." + C["canary"]):
    attempt("link to " + target, lambda: through_link(target))
attempt("hard link", lambda: os.link(C["canary"], "/tmp/hard"))
attempt("path only", lambda: os.read(os.open(C["canary"], os.O_PATH), 10))
room = ctypes.create_string_buffer(200)
attempt("handle", lambda: raw("name_to_handle_at", -100, C["canary"].encode(), room, room, 0))
attempt("openat2", lambda: raw("openat2", -100, C["canary"].encode(), ctypes.create_string_buffer(24), 24))
"""
    ),
    "inherited file descriptors": Hostile(
        """
def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
extra = [fd for fd in range(3, 4096) if is_open(fd)]
if len(extra) > 1:
    print("ESCAPED: open", extra)
for fd in extra:
    attempt("read the report", lambda: os.read(fd, 1))
    os.write(fd, b"x" * 100 + b"\\n" + b"0" * 32 + b" value 0 1\\n")
"""
    ),
    "standard input": Hostile(
        "given = sys.stdin.read()\nprint('held:' if given == 'given' else 'ESCAPED:', given)\n"
        "attempt('grow', lambda: os.ftruncate(0, 2**30))\nattempt('write', lambda: os.pwrite(0, b'x', 0))",
        stdin="given",
    ),
    "writes where it must not": Hostile(
        """
import stat
names = ["/usr/x", "/usr/bin/python3", "/usr/lib/x", "/etc/x", "/dev/shm/x", "/dev/x", "/var/tmp/x", "/x", "/run/x",
    C["home"] + "/x", C["canary"], sys.prefix + "/x", os.path.dirname(os.__file__) + "/x.py", sys.executable]
for name in names:
    attempt("write " + name, lambda: open(name, "ab").write(b""))
    attempt("make " + name, lambda: os.mkdir(name + ".d"))
attempt("unlink", lambda: os.unlink(C["canary"]))
attempt("rename", lambda: os.rename(C["canary"], C["home"] + "/moved"))
attempt("truncate", lambda: os.truncate(C["canary"], 0))
attempt("empty while reading", lambda: os.open(C["canary"], os.O_RDONLY | os.O_TRUNC))
attempt("device", lambda: os.mknod("/tmp/d", stat.S_IFCHR | 0o666, os.makedev(1, 1)))
attempt("fifo", lambda: os.mkfifo(C["home"] + "/fifo"))
"""
    ),
    "owners, modes, times and attributes": Hostile(
        """
for name in (C["canary"], C["home"], os.__file__, "/dev/null", sys.executable):
    attempt("chmod", lambda: os.chmod(name, 0o777))
    attempt("fchmodat2", lambda: raw("fchmodat2", -100, name.encode(), 0o777, 0))
    attempt("chown", lambda: os.chown(name, 65534, 65534))
    attempt("utime", lambda: os.utime(name, (0, 0)))
    attempt("setxattr", lambda: os.setxattr(name, "user.x", b"x"))
    attempt("removexattr", lambda: os.removexattr(name, "user.x"))
"""
    ),
    "thousands of files": ended(
        "killed",
        "finished",
        source="def many():\n    for number in range(10**7): open(f'/tmp/{number}', 'w').close()\n"
        "attempt('files', many)",
        limits={**LIMITS, "cpu_seconds": 4.0},
    ),
    "kills everyone": Hostile(
        """
for pid in (-1, C["engine"], C["victim"], os.getppid() or 2, -C["engine"], 0):
    attempt(f"kill {pid}", lambda: os.kill(pid, signal.SIGKILL))
attempt("group", lambda: os.killpg(os.getpgid(0) or 2, signal.SIGKILL))
attempt("tkill", lambda: raw("tkill", C["victim"], 9))
attempt("tgkill", lambda: raw("tgkill", C["victim"], C["victim"], 9))
attempt("queue", lambda: raw("rt_sigqueueinfo", C["victim"], 9, ctypes.create_string_buffer(128)))
attempt("pidfd", lambda: raw("pidfd_send_signal", 0, 9, 0, 0))
"""
    ),
    "a file's owner is sent signals": Hostile(
        """
import fcntl
reading, writing = os.pipe()
attempt("owner", lambda: fcntl.fcntl(reading, fcntl.F_SETOWN, C["victim"]))
attempt("owner of another kind", lambda: fcntl.fcntl(reading, 15, b"\\1\\0\\0\\0" + C["victim"].to_bytes(4, "little")))
attempt("signal", lambda: fcntl.fcntl(reading, fcntl.F_SETSIG, signal.SIGKILL))
attempt("by ioctl", lambda: fcntl.ioctl(reading, 0x8901, C["victim"].to_bytes(4, "little")))
attempt("pipe of 1 MB", lambda: fcntl.fcntl(reading, 1031, 2**20))
attempt("lease", lambda: fcntl.fcntl(reading, 1024, 1))
attempt("watch a folder", lambda: raw("inotify_init1", 0))
fcntl.fcntl(reading, fcntl.F_SETFL, fcntl.fcntl(reading, fcntl.F_GETFL) | os.O_ASYNC)
os.write(writing, b"x")
"""
    ),
    "slows others down": Hostile(
        """
for pid in (C["engine"], C["victim"], 0):
    attempt("nice", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
    attempt("affinity", lambda: os.sched_setaffinity(pid, {0}))
    attempt("scheduler", lambda: os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0)))
    attempt("limits", lambda: raw("prlimit64", pid, 0, (ctypes.c_ulong * 2)(1, 1), 0))
    attempt("io priority", lambda: raw("ioprio_set", 1, pid, 3 << 13))
attempt("user", lambda: os.setpriority(os.PRIO_USER, 0, 19))
attempt("limits of the engine read", lambda: raw("prlimit64", C["engine"], 0, 0, ctypes.create_string_buffer(16)))
"""
    ),
    "raises its limits": Hostile(
        """
import resource
for name in ("RLIMIT_CPU", "RLIMIT_AS", "RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_CORE"):
    attempt(name, lambda: resource.setrlimit(getattr(resource, name), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)))
attempt("lower", lambda: resource.setrlimit(resource.RLIMIT_CPU, (1, 1)))
def files():
    kept = [os.dup(0) for _ in range(100)]
attempt("100 files", files)
"""
    ),
    "another identity": Hostile(
        """
attempt("setuid", lambda: os.setuid(0) if os.getuid() else os.setuid(1))
attempt("setgid", lambda: os.setgid(0) if os.getgid() else os.setgid(1))
attempt("setgroups", lambda: os.setgroups([0]))
attempt("setresuid", lambda: os.setresuid(0, 0, 0))
attempt("capset", lambda: raw("capset", (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[2**32 - 1] * 6)))
attempt("personality", lambda: raw("personality", 0x0400000))
for option in (1, 4, 8, 22, 24, 28, 35, 38, 39, 47, 0x59616D61):
    attempt(f"prctl {option}", lambda: raw("prctl", option, 1, 0, 0, 0))
"""
    ),
    "a larger kernel": Hostile(
        """
for call in ("io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "perf_event_open", "userfaultfd", "keyctl",
    "add_key", "request_key", "unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount",
    "fsopen", "fsconfig", "fsmount", "mount_setattr", "init_module", "finit_module", "delete_module", "kexec_load",
    "reboot", "swapon", "acct", "syslog", "sethostname", "quotactl", "seccomp", "landlock_create_ruleset", "splice",
    "tee", "vmsplice", "migrate_pages", "move_pages", "process_madvise", "fanotify_init",
    "open_by_handle_at", "sched_setattr"):
    attempt(call, lambda: raw(call, 0, 0, 0, 0, 0))
attempt("new user namespace", lambda: raw("unshare", 0x10000000))
attempt("io_uring", lambda: raw("io_uring_setup", 8, ctypes.create_string_buffer(120)))
attempt("keyring", lambda: raw("keyctl", 0, -3, 1))
attempt("a call from the future", lambda: raw(1000))
attempt("a call far out", lambda: raw(2**20))
"""
    ),
    "the terminal": Hostile(
        """
import fcntl
attempt("open", lambda: os.open("/dev/tty", os.O_RDWR))
for fd in (0, 1, 2):
    attempt("type", lambda: fcntl.ioctl(fd, 0x5412, b"x"))
    attempt("take", lambda: fcntl.ioctl(fd, 0x540E, 0))
    attempt("console", lambda: fcntl.ioctl(fd, 0x541D, 0))
print("\\x1b]52;c;aGVsZA==\\x07 \\x1b[2J")
"""
    ),
    "segmentation fault": ended("killed", source="ctypes.string_at(0)", says="SIGSEGV"),
    "aborts": ended("killed", source="os.abort()", says="SIG"),
    "writes over its own interpreter": ended(
        "killed",
        "finished",
        source="for at in range(0, 2**20, 8):\n    ctypes.memset(id(type) + at, 255, 8)\nprint('held:')",
    ),
    "system calls of 32-bit programs": ended(
        "killed",
        source="""
import mmap, platform
if platform.machine() != "x86_64":
    os.abort()
code = mmap.mmap(-1, 4096, prot=7)
code.write(bytes([0xB8, 2, 0, 0, 0, 0xCD, 0x80, 0xC3]))  # mov eax, 2 (fork); int 0x80; ret
answer = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
print("ESCAPED: fork by int 0x80" if answer >= 0 else "held:", answer)
""",
    ),
    "system calls of x32 programs": ended(
        "killed",
        source="import platform\nif platform.machine() != 'x86_64': os.abort()\n"
        "raw(0x40000000 | 57)\nprint('ESCAPED: x32')",
    ),
    "its handler for its own faults": ended(
        "time",
        "killed",
        says="",
        source="import faulthandler\nfaulthandler.enable()\n"
        "handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda number: None)\n"
        "_libc.signal(signal.SIGSEGV, handler)\n_libc.signal(signal.SIGSYS, handler)\nctypes.string_at(0)",
    ),
}
"""Programs by name."""
