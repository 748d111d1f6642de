"""The entry point inside the sandbox: drops all privileges that Python does not need, then runs an untrusted program.

It is sent as code to a new Python process with an empty environment and is never imported by the engine. It contains no
secrets: no expected answers, paths or names. Everything after `confine` shares the process with a hostile program, so a
report is only a claim of that program.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from types import ModuleType

TYPE_CHECKING = False
# Importing `typing` would take as long as starting Python itself.
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _FILTER = 1, 22, 38, 2
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CAPABILITY_VERSION_3 = 0x20080522
_KILL = 9
_LONGEST_ERROR = 500


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


class _NotPlain(Exception):
    """A value that can't be written as a literal."""


def main(job: dict[str, Any], result_fd: int) -> None:
    """Confine this process, then run the job. If confinement fails, exit before anything of the job runs."""
    nonce: bytes = job["nonce"]
    write = os.write

    def tell(kind: str, place: int, text: str) -> None:
        line = b"%s %s %d %s\n" % (nonce, kind.encode(), place, text.encode("utf-8", "backslashreplace"))
        while line:
            line = line[write(result_fd, line) :]

    try:
        confine(job)
    except OSError as error:
        tell("refused", 0, str(error))
        os._exit(125)
    tell("confined", 0, "")
    os.environ.clear()
    sys.argv[:] = ["program.py"]
    leave = os._exit
    if job["steps"] is None:
        _run_script(job["source"], tell)
        return
    try:
        _run_steps(job, tell)
    except MemoryError:
        tell("memory", 0, "")
    leave(0)


def confine(job: dict[str, Any]) -> None:
    """Set limits, drop privileges and capabilities, apply Landlock if requested, and install the filter last.

    Raises:
        OSError: if any of these fails.
    """
    for name, value in job["limits"]:
        which = getattr(resource, name, None)
        if which is not None:
            resource.setrlimit(which, (value, value))
    libc = ctypes.CDLL(None, use_errno=True)
    if job["parent"] is not None:
        _checked(libc, "prctl", _PR_SET_PDEATHSIG, _KILL, 0, 0, 0)
        if os.getppid() != job["parent"]:
            raise OSError("the engine ended while the sandbox was starting")
    _checked(libc, "prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _checked(libc, "capset", header, (ctypes.c_uint32 * 6)())
    if job["landlock"] is not None:
        _landlock(libc, *job["landlock"])
    pid = os.getpid().to_bytes(4, sys.byteorder)
    filtering: bytes = job["filter"].replace(job["own_pid"].to_bytes(4, sys.byteorder), pid)
    program = _Filter(len(filtering) // 8, filtering)
    _checked(libc, "prctl", _PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0)


def _landlock(libc: ctypes.CDLL, attributes: bytes, rules: list[tuple[str, int]]) -> None:
    """Deny access to all files except by these rules of path and access bits."""
    ruleset = _checked(libc, "syscall", _CREATE_RULESET, attributes, len(attributes), 0)
    for path, access in rules:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = access.to_bytes(8, sys.byteorder) + place.to_bytes(4, sys.byteorder)
        _checked(libc, "syscall", _ADD_RULE, ruleset, 1, rule, 0)
        os.close(place)
    _checked(libc, "syscall", _RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _checked(libc: ctypes.CDLL, name: str, *arguments: Any) -> int:
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    answer = int(getattr(libc, name)(*wide))
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}{arguments[0] if name != 'capset' else ''}: {os.strerror(number)}")
    return answer


def _module(name: str) -> ModuleType:
    made = ModuleType(name)
    made.__dict__["__builtins__"] = __builtins__
    sys.modules[name] = made
    return made


def _run_script(source: str, tell: Callable[[str, int, str], None]) -> None:
    """Run the source as a script, with the exit code, exit handlers and traceback of a script."""
    show = sys.__excepthook__
    out_of_memory = MemoryError
    try:
        exec(compile(source, "program.py", "exec", dont_inherit=True), _module("__main__").__dict__)
    except out_of_memory:
        tell("memory", 0, "")
        sys.exit(1)
    except Exception as error:
        trace = error.__traceback__
        show(type(error), error.with_traceback(trace.tb_next if trace is not None else None), None)
        sys.exit(1)


def _run_steps(job: dict[str, Any], tell: Callable[[str, int, str], None]) -> None:
    """Run the program, its set-up, then every step in the program's module."""
    space = _module("program").__dict__
    longest: int = job["longest"]

    def attempt(place: int, work: Callable[[], tuple[str, str]]) -> bool:
        try:
            kind, text = work()
        except _NotPlain as found:
            kind, text = "other", str(found)
        except BaseException as error:
            kind, text = "raised", _described(error)
        tell(kind, place, text)
        return kind != "raised"

    def load() -> tuple[str, str]:
        exec(compile(job["source"], "program.py", "exec", dont_inherit=True), space)
        return "ran", ""

    def set_up() -> tuple[str, str]:
        exec(compile(job["setup"], "setup.py", "exec", dont_inherit=True), space)
        return "ran", ""

    def step(kind: str, code: str) -> tuple[str, str]:
        if kind == "run":
            exec(compile(code, "test.py", "exec", dont_inherit=True), space)
            return "ran", ""
        value = eval(compile(code, "test.py", "eval", dont_inherit=True), space)
        text = literal(bool(value) if kind == "truth" else value)
        return ("value", text) if len(text) <= longest else ("other", f"a value of {len(text)} characters")

    if attempt(-2, load) and attempt(-1, set_up):
        for place, (kind, code) in enumerate(job["steps"]):
            attempt(place, lambda kind=kind, code=code: step(kind, code))  # type: ignore[misc]


def _described(error: BaseException) -> str:
    """Format an error as `Type: message`, even if its `__str__` raises."""
    name = type.__dict__["__name__"].__get__(type(error))
    try:
        message = str(error)
    except BaseException:
        message = ""
    described = f"{name}: {message}"[:_LONGEST_ERROR] if message else name
    line = _line_of_program(error)
    return f"{described} [line {line}]" if line else described


def _line_of_program(error: BaseException) -> int:
    """Return the line at the top level of the program at which an error was raised; 0 if it was raised elsewhere."""
    trace = BaseException.__dict__["__traceback__"].__get__(error)
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename == "program.py" and code.co_name == "<module>":
            return int(trace.tb_lineno)
        trace = trace.tb_next
    return 0


def literal(value: object) -> str:
    """Write a value as a Python literal that compares equal to it. Raises _NotPlain with the type's name for others.

    Instances of subclasses are written as their plain type; their own methods are never called.
    """
    if value is None or value is True or value is False:
        return repr(value)
    if value is Ellipsis:
        return "..."
    if isinstance(value, int):
        number = int.__add__(value, 0)
        return repr(number) if number.bit_length() < 4096 else hex(number)
    if isinstance(value, float):
        text = float.__repr__(value)
        if text == "nan":
            raise _NotPlain("nan")
        return text.replace("inf", "1e999")
    if isinstance(value, complex):
        return complex.__repr__(value)
    if isinstance(value, str):
        return ascii(str.__str__(value))
    if isinstance(value, bytes | bytearray):
        return bytes.__repr__(bytes(memoryview(value)))
    if isinstance(value, list):
        return f"[{','.join([literal(item) for item in list.__iter__(value)])}]"
    if isinstance(value, tuple):
        items = [literal(item) for item in tuple.__iter__(value)]
        return f"({','.join(items)}{',' if len(items) == 1 else ''})"
    if isinstance(value, dict):
        return "{" + ",".join([f"{literal(key)}:{literal(item)}" for key, item in dict.items(value)]) + "}"
    if isinstance(value, set):
        return _collection(list(set.__iter__(value)))
    if isinstance(value, frozenset):
        return _collection(list(frozenset.__iter__(value)))
    if isinstance(value, type({}.keys()) | type({}.items())):
        return _collection(list(value))
    return _of_number(value)


def _collection(items: list[Any]) -> str:
    return "{" + ",".join([literal(item) for item in items]) + "}" if items else "set()"


def _of_number(value: Any) -> str:
    """Write an exact fraction or decimal as the integer or float that equals it."""
    for module, name in (("fractions", "Fraction"), ("decimal", "Decimal")):
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and type(value) is kind:
            for same in (int(value), float(value)):
                if kind(same) == value:
                    return literal(same)
    raise _NotPlain(str(type.__dict__["__name__"].__get__(type(value)))[:100])
