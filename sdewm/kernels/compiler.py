"""C compiled once for this CPU by the system's compiler, and kept on disk."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

from sdewm.files import cache_folder, make_folder, write_whole

# Elementary functions come in vectors from glibc's libmvec, to 4 units in the last place, and infinities and what is no
# number are as they should be: -ffast-math, which would break them, is not among the options.
OPTIONS = (
    "-O3", "-march=native", "-mprefer-vector-width=512", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-shared",
    "-fPIC",
)  # fmt: skip
PATIENCE = 60.0  # seconds for the compiler, which takes two
LOADING = threading.Lock()


class NoCompiler(RuntimeError):
    """There is no C compiler, or it failed; the message says what to do."""


def compiled(name: str, source: str, *defines: str) -> ctypes.CDLL:
    """The library made from a source with some names defined. Raises :class:`NoCompiler`.

    It is kept in :func:`~sdewm.files.cache_folder` by ``name`` and a key of all that it is made from and by.
    """
    named = [found for program in ("cc", "gcc") if (found := shutil.which(program))]
    compiler = shlex.split(os.environ.get("CC", "")) or named[:1]
    if not compiler:
        raise NoCompiler("no C compiler was found; install one (Debian: apt-get install gcc), or set CC to yours")
    version = _run([*compiler, "--version"]).stdout
    options = [*OPTIONS, *(f"-D{one}" for one in defines)]
    key = hashlib.sha256("\0".join([source, *compiler, *options, version, _cpu()]).encode()).hexdigest()[:24]
    with LOADING, tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / f"{name}.so"
        try:
            kept = cache_folder("kernels") / f"{name}-{key}.so"
            if not _whole(kept):
                _compile(compiler, options, source, built)
                make_folder(kept.parent)
                made = built.read_bytes()
                write_whole(kept, lambda stream: stream.write(made + hashlib.sha256(made).digest()))
            built = kept
        except NoCompiler:
            raise
        except OSError:  # a folder that cannot be written: this process has its own
            if not built.exists():
                _compile(compiler, options, source, built)
        try:
            return ctypes.CDLL(str(built))
        except OSError as error:
            raise NoCompiler(f"what {compiler[0]} made cannot be loaded: {error}") from error


def _whole(kept: Path) -> bool:
    """Whether a library is there as it was written: one that was cut would end the process that loads it."""
    if not kept.exists():
        return False
    found = kept.read_bytes()
    return hashlib.sha256(found[:-32]).digest() == found[-32:]


def _compile(compiler: list[str], options: list[str], source: str, built: Path) -> None:
    written = built.with_suffix(".c")
    written.write_text(source, encoding="utf-8")
    done = _run([*compiler, *options, str(written), "-o", str(built), "-lmvec", "-lm"])
    if done.returncode:
        raise NoCompiler(f"{compiler[0]} failed: {done.stderr.strip().splitlines()[-1] if done.stderr else ''}")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoCompiler(f"{command[0]} failed: {error}") from error


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("flags")), platform.machine())
