"""What a decoding worker gives up before it looks at a stranger's file.

Layer on layer, each of them optional because no system has them all: limits of the process
(memory, written files, open files, core dumps), death together with the parent, no new privileges,
a Landlock ruleset under which no file can be opened and no TCP connection made, and a system call
filter without sockets, new programs and other processes' memory. What is already open stays usable:
the worker talks through its socket and reads the video through the descriptor it was handed.

A worker that plays a camera of the network (RTSP) keeps one thing more: TCP to one port.

Everything here holds for the rest of the process's life. Call it after the last import, from a
process with one thread: Landlock and the filter bind the calling thread and what it starts.
"""

import ctypes
import os
import platform
import signal
import struct
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

Report = dict[str, bool | str]
"""For each layer True (on), or the reason why it is not there."""

OPEN_FILES = 64

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_FILTER = 1, 38, 22, 2

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_RULESET_VERSION = 1
_BENEATH_PATH = 1
_TO_A_PORT = 2
_CONNECT = 1 << 1
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""Landlock's version and how many of its file rights that version knows."""

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_FORBIDDEN_CALLS = {
    # name: number on x86_64, on aarch64
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "execve": (59, 221),
    "execveat": (322, 281),
    "kill": (62, 129),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "io_uring_setup": (425, 425),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_by_handle_at": (304, 265),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "reboot": (169, 142),
}
_X32_CALLS = 0x40000000  # x86_64 answers to a second set of numbers above this one
_NETWORKS, _STREAM, _KIND = (2, 10), 1, 0xF  # AF_INET and AF_INET6; SOCK_STREAM and its bits
_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 1  # refuse with EPERM


def enter(
    *,
    memory: int | None,
    parent: int,
    readable: Iterable[str] = (),
    port: int | None = None,
    written: int = 0,
) -> Report:
    """Give up what decoding does not need, for good.

    Args:
        memory: most bytes of address space; None leaves it open.
        parent: process id of the parent; without it the worker ends.
        readable: folders whose files may still be read; none for a worker that has all it needs.
        port: the one TCP port that may still be called, on any machine; none for a worker that is
            handed what it reads.
        written: most bytes in a file that it was handed open for writing.

    Returns:
        Each layer, and True or why it is off.
    """
    return {
        "memory limit": _attempt(lambda: _limit_memory(memory)),
        "other limits": _attempt(lambda: _limit_the_rest(written)),
        "ends with its parent": _attempt(lambda: _end_with(parent)),
        "no new privileges": _attempt(lambda: _prctl(_PR_SET_NO_NEW_PRIVS, 1)),
        **_landlock_layers(list(readable), port),
        "system call filter": _attempt(lambda: _filter_calls(calls_out=port is not None)),
    }


def _attempt(layer: Callable[[], None]) -> bool | str:
    try:
        layer()
    except (OSError, AttributeError, ImportError, ValueError) as error:
        return str(error) or type(error).__name__
    return True


def _limit_memory(memory: int | None) -> None:
    import resource  # here and below: Windows has none

    if memory is None:
        raise OSError("not used with this decoder")
    _lower(resource.RLIMIT_AS, memory)


def _limit_the_rest(written: int) -> None:
    import resource

    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, written)
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)


def _lower(which: int, value: int) -> None:
    """Set a limit so that it cannot be raised again; one that is lower already stays."""
    import resource

    hard = resource.getrlimit(which)[1]
    limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (limit, limit))


def _end_with(parent: int) -> None:
    _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # it ended before we asked
        os._exit(0)


def _prctl(option: int, *values: int) -> None:
    padded = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    if _libc().prctl(ctypes.c_int(option), *padded) != 0:
        raise _error()


def _syscall(number: int, *values: object) -> int:
    result = _libc().syscall(ctypes.c_long(number), *values)
    if result < 0:
        raise _error()
    return result


def _libc() -> ctypes.CDLL:
    if not sys.platform.startswith("linux"):
        raise OSError(f"not on {sys.platform}")
    return ctypes.CDLL(None, use_errno=True)


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def _landlock_layers(readable: list[str], port: int | None) -> Report:
    """Forbid files (but `readable`), TCP, and signals to others, as far as the kernel can."""
    try:
        version = _syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _uint(_RULESET_VERSION))
        _restrict(version, readable, port)
    except (OSError, AttributeError) as error:
        return dict.fromkeys(("no files", "no TCP", "no signals"), f"no Landlock: {error}")
    old = f"needs a newer Landlock than version {version}"
    files = "only Python's own folders can be read" if readable else True
    tcp = True if port is None else f"only port {port} can be called"
    return {
        "no files": files,
        "no TCP": tcp if version >= 4 else old,
        "no signals": True if version >= 6 else old,
    }


def _restrict(version: int, readable: list[str], port: int | None) -> None:
    files = (1 << _FILE_RIGHTS.get(version, 16)) - 1
    fields = [files, 0b11, 0b11][: 3 if version >= 6 else 2 if version >= 4 else 1]
    rights = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = _syscall(_CREATE_RULESET, rights, ctypes.c_size_t(len(rights)), _uint(0))
    try:
        for name in readable:
            _allow_reading(ruleset, name)
        if port is not None and version >= 4:
            rule = struct.pack("=QQ", _CONNECT, port)
            _syscall(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_TO_A_PORT), rule, _uint(0))
        _syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), _uint(0))
    finally:
        os.close(ruleset)


def _allow_reading(ruleset: int, name: str) -> None:
    if not Path(name).exists():
        return
    place = os.open(name, os.O_PATH | os.O_CLOEXEC)
    try:
        rights = _READ_FILE | _READ_FOLDER if Path(name).is_dir() else _READ_FILE
        rule = struct.pack("=Qi", rights, place)
        _syscall(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_BENEATH_PATH), rule, _uint(0))
    finally:
        os.close(place)


def _uint(value: int) -> ctypes.c_uint:
    return ctypes.c_uint(value)


def _filter_calls(*, calls_out: bool) -> None:
    """Load a filter (classic BPF) that refuses the forbidden calls and allows the others.

    With `calls_out` sockets of TCP can be made and connected, and no others.
    """
    machine = platform.machine()
    if machine not in _AUDIT_ARCH:
        raise OSError(f"not known for {machine}")
    column = list(_AUDIT_ARCH).index(machine)
    open_again = ("socket", "connect") if calls_out else ()
    numbers = [c[column] for name, c in _FORBIDDEN_CALLS.items() if name not in open_again]
    socket_call = _FORBIDDEN_CALLS["socket"][column]
    tcp_only = _tcp_only(socket_call) if calls_out else []
    last = len(numbers) + len(tcp_only) + 2  # from the first test to the refusal at the end
    program = [
        (_LOAD, 0, 0, 4),  # the architecture
        (_EQUAL, 0, last + 1, _AUDIT_ARCH[machine]),
        (_LOAD, 0, 0, 0),  # the call's number
        (_AT_LEAST, last - 1, 0, _X32_CALLS),
        *((_EQUAL, last - 2 - place, 0, number) for place, number in enumerate(numbers)),
        *tcp_only,
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    header = ctypes.create_string_buffer(
        struct.pack("@HP", len(program), ctypes.addressof(code))  # struct sock_fprog
    )
    _prctl(_PR_SET_SECCOMP, _SECCOMP_FILTER, ctypes.addressof(header))


def _tcp_only(socket_call: int) -> list[tuple[int, int, int, int]]:
    """The steps before the end of the filter that refuse every socket but those of TCP."""
    domain, kind = 16, 24  # where the first two arguments of a call lie
    return [
        (_EQUAL, 0, 6, socket_call),  # another call: on to the end, which allows it
        (_LOAD, 0, 0, domain),
        (_EQUAL, 1, 0, _NETWORKS[0]),
        (_EQUAL, 0, 4, _NETWORKS[1]),
        (_LOAD, 0, 0, kind),
        (_AND, 0, 0, _KIND),
        (_EQUAL, 0, 1, _STREAM),
    ]
