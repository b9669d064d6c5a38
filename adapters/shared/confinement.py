"""Confining this very process, for good, to a few folders and to no network: for code and models from elsewhere.

Landlock (Linux 5.13 and later) bounds what it opens, seccomp what it asks of the kernel beside that. Neither needs root
or a program, and containers allow both, where user namespaces (which `bwrap` needs) are often forbidden. What a process
is confined to holds for all that it starts.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

# landlock_create_ruleset(2), landlock_add_rule(2) and landlock_restrict_self(2) have these numbers on every machine.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION, _PATH_BENEATH = 1, 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_DIR, _MAKE_REG = 1 << 7, 1 << 8
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_OF_FIRST_VERSION = (1 << 13) - 1
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

_READ = _EXECUTE | _READ_FILE | _READ_DIR
# No links, pipes, sockets and devices: whoever reads the folder afterwards finds files that are there and nowhere else.
_WRITE = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
_DEVICE = _READ_FILE | _WRITE_FILE | _IOCTL_DEV | _READ_DIR
# Shared memory is made and opened by name, and the names of others' cannot be listed.
_SHARED_MEMORY = _READ_FILE | _WRITE_FILE | _MAKE_REG | _REMOVE_FILE | _TRUNCATE

_TCP, _ABSTRACT_SOCKETS_AND_SIGNALS = 0b11, 0b11

_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store", "/proc", "/sys")
_OF_ETC = (
    "alternatives", "ca-certificates", "fonts", "group", "host.conf", "hosts", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "localtime", "mime.types", "nsswitch.conf", "passwd", "pki/tls/certs", "ssl/certs",
    "ssl/openssl.cnf", "timezone",
)  # fmt: skip
_DEVICES = ("null", "zero", "full", "random", "urandom", "kfd", "dri")

_SET_NO_NEW_PRIVS, _SET_SECCOMP, _SECCOMP_FILTER = 38, 22, 2
_CAPABILITIES_VERSION = 0x20080522
_KEEPS_CAPABILITIES = 1 << 1
"""CAP_DAC_OVERRIDE: root reads its models whoever owns them. Of what root may besides, nothing is left."""


def version() -> int:
    """The version of Landlock that this kernel has, 0 for none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)))


def missing() -> str:
    """Why a process cannot be confined here, as the end of a sentence; empty where it can be."""
    if sys.platform != "linux":
        return "this system has no Landlock, which is Linux's"
    if platform.machine() not in _MACHINES:
        return f"on {platform.machine()} it is not known which calls of the kernel to forbid"
    if not version():
        return "the kernel has no Landlock, or it is switched off (it came with Linux 5.13)"
    if _libc.prctl(_SET_SECCOMP, _SECCOMP_FILTER, None, 0, 0) == 0 or ctypes.get_errno() != errno.EFAULT:
        return "the kernel has no seccomp filters"
    return ""


def confine(*, reads: Iterable[Path], writes: Iterable[Path]) -> None:
    """From here on, this process reads what the system and Python are made of, and `reads`; it reads and writes
    `writes`; it uses no network and reaches no process that is not its own.

    Raises `OSError` where that cannot be; then nothing may run that was to be confined.
    """
    if len(os.listdir("/proc/self/task")) != 1:
        raise OSError("a process with threads cannot be confined, since each thread would have to be")
    _must(_libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "give up new privileges")
    _restrict_files(reads, writes)
    _restrict_calls()
    drop_capabilities()


def drop_capabilities() -> None:
    """Leave this process nothing of what root may beside reading and writing files. Others have nothing to give up."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return
    _must(_libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "give up new privileges")
    header = struct.pack("=Ii", _CAPABILITIES_VERSION, 0)
    held = bytearray(24)
    # capget(2) and capset(2): effective, permitted and inheritable, of the lower and the upper 32.
    _must(_libc.capget(header, (ctypes.c_char * 24).from_buffer(held)), "look at its capabilities")
    effective, permitted, *_ = struct.unpack("=6I", held)
    wanted = struct.pack("=6I", effective & _KEEPS_CAPABILITIES, permitted & _KEEPS_CAPABILITIES, 0, 0, 0, 0)
    _must(_libc.capset(header, wanted), "give up capabilities")


def _must(outcome: int, what: str) -> int:
    if outcome < 0:
        raise OSError(ctypes.get_errno(), f"this process cannot {what}: {os.strerror(ctypes.get_errno())}")
    return outcome


# Files.


def _restrict_files(reads: Iterable[Path], writes: Iterable[Path]) -> None:
    known = version()
    handled = _OF_FIRST_VERSION
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV)):
        handled |= right if known >= since else 0
    attributes = [handled, *([_TCP] if known >= 4 else []), *([_ABSTRACT_SOCKETS_AND_SIGNALS] if known >= 6 else [])]
    packed = struct.pack(f"={len(attributes)}Q", *attributes)
    ruleset = _must(_libc.syscall(_CREATE_RULESET, packed, ctypes.c_size_t(len(packed)), 0), "be confined")
    try:
        for path, rights in _allowed(reads, writes):
            _allow(ruleset, path, rights & handled)
        _must(_libc.syscall(_RESTRICT_SELF, ruleset, 0), "be confined")
    finally:
        os.close(ruleset)


def _allowed(reads: Iterable[Path], writes: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    for path in (*map(Path, _SYSTEM), *(Path("/etc") / name for name in _OF_ETC), *_of_python(), *reads):
        yield path, _READ
    for path in (*(Path("/dev") / name for name in _DEVICES), *Path("/dev").glob("nvidia*")):
        yield path, _DEVICE
    yield Path("/dev/shm"), _SHARED_MEMORY
    for path in writes:
        yield path, _WRITE


def _of_python() -> Iterator[Path]:
    """Where this interpreter and its libraries lie. Of the service's own folder only its packages."""
    own = Path(__file__).resolve().parents[2]
    yield from (own / package for package in ("adapters", "domain", "infra"))
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    for place in (sys.prefix, sys.base_prefix, *sys.path, *libraries):
        path = Path(place).resolve()
        if place and path != own and path not in own.parents:
            yield path


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no permission
    try:
        if not path.is_dir():
            rights &= _OF_A_FILE
        rule = struct.pack("=Qi", rights, descriptor)
        _must(_libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0), f"be allowed {path}")
    finally:
        os.close(descriptor)


# Calls of the kernel that Landlock knows nothing of.

_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24
_ALLOWED, _KILLED, _ANSWERED = 0x7FFF0000, 0x80000000, 0x00050000
_DATAGRAMS, _KIND = 2, 0xF

# Of each machine: its number for audits, then the numbers of the calls.
_MACHINES = {
    "x86_64": (
        0xC000003E,
        {"socket": 41, "socketpair": 53, "prlimit": 302, "truncate": 76},
        {"chmod": 90, "fchmodat": 268, "fchmodat2": 452},
        {"keys": (248, 249, 250), "io_uring": (425,), "attributes": (188, 189, 197, 198, 463, 466)},
    ),
    "aarch64": (
        0xC00000B7,
        {"socket": 198, "socketpair": 199, "prlimit": 261, "truncate": 45},
        {"fchmodat": 53, "fchmodat2": 452},
        {"keys": (217, 218, 219), "io_uring": (425,), "attributes": (5, 6, 14, 15, 463, 466)},
    ),
}


def _restrict_calls() -> None:
    """No sockets, not even of this machine: a database, a desktop or a container's daemon listens at some.

    Modes of files are left as they are while the caller is told that it worked (copying a file sets one), because
    Landlock would let it open others' folders to everybody. No limit of another process is changed.
    """
    program = b"".join(_filter())
    count = len(program) // 8
    buffer = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", count, ctypes.addressof(buffer))
    _must(_libc.prctl(_SET_SECCOMP, _SECCOMP_FILTER, described, 0, 0), "give up calls of the kernel")


def _filter() -> Iterator[bytes]:
    architecture, calls, modes, forbidden = _MACHINES[platform.machine()]
    yield _step(_LOAD, _ARCHITECTURE)
    yield _step(_EQUAL, architecture, skip_else=0, skip_if=1)
    yield _step(_RETURN, _KILLED)
    yield _step(_LOAD, _NUMBER)
    # A second set of numbers for the same calls, on x86_64.
    yield from _answer_at_least(0x40000000, errno.ENOSYS)
    yield from _answer(calls["socket"], errno.EACCES)
    for number in modes.values():
        yield from _answer(number, 0)
    for number in (*forbidden["keys"], *forbidden["io_uring"]):
        yield from _answer(number, errno.EPERM)
    for number in forbidden["attributes"]:
        yield from _answer(number, errno.ENOTSUP)
    if version() < 3:  # Landlock bounds it later on
        yield from _answer(calls["truncate"], errno.EACCES)
    # A pair of sockets that are connected to one another, unless they could be used to send elsewhere.
    yield _step(_EQUAL, calls["socketpair"], skip_else=5)
    yield _step(_LOAD, _SECOND)
    yield _step(_AND, _KIND)
    yield _step(_EQUAL, _DATAGRAMS, skip_else=1)
    yield _step(_RETURN, _ANSWERED | errno.EACCES)
    yield _step(_LOAD, _NUMBER)
    yield _step(_EQUAL, calls["prlimit"], skip_else=3)
    yield _step(_LOAD, _FIRST)
    yield _step(_EQUAL, 0, skip_if=1)
    yield _step(_RETURN, _ANSWERED | errno.EPERM)
    yield _step(_RETURN, _ALLOWED)


def _answer(number: int, error: int) -> Sequence[bytes]:
    return _step(_EQUAL, number, skip_else=1), _step(_RETURN, _ANSWERED | error)


def _answer_at_least(number: int, error: int) -> Sequence[bytes]:
    return _step(_AT_LEAST, number, skip_else=1), _step(_RETURN, _ANSWERED | error)


def _step(code: int, operand: int, *, skip_if: int = 0, skip_else: int = 0) -> bytes:
    """One instruction of a classic BPF program."""
    return struct.pack("=HBBI", code, skip_if, skip_else, operand)
