"""Files that are whole or absent.

Data go to a hidden file ``.<name>.<host>-<pid>-<random>.tmp`` in the folder of the target; all files of one
result are moved over their targets together, at the very end. What a killed run leaves behind is removed by
:func:`sweep`.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, TypeVar

from gridnorm.errors import OptionError, OutputError, option_value

T = TypeVar("T")

STALE_AFTER = 3600.0  # seconds
_TEMPORARY = re.compile(r"\..+\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.tmp")
_NAME_BYTES = 180  # of the target's name kept in a temporary one; file systems end at 255


class _Pending(NamedTuple):
    name: str
    target: str
    temporary: str
    handle: BinaryIO


class _Moved(NamedTuple):
    file: _Pending
    existed: bool
    backup: str


class Output:
    r"""The files of one result, put in place together when the ``with`` block ends well.

    After an exception nothing remains and every target is as it was. Files are moved in the order in which
    they were opened, so the one that says "complete" (the sidecar) is best opened last.

    Parameters
    ----------
    force
        Existing targets may be replaced. Without it none is, not even one that appears while data are written: of
        several runs with one target the first keeps it.

    Raises
    ------
    OptionError
        A target exists and ``force`` is False.
    OutputError
        The folder is missing or closed, or the disk is full.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with Output() as output:
    ...     _ = output.open(folder / "a.tsv").write(b"x\n")
    >>> (folder / "a.tsv").read_bytes()
    b'x\n'
    """

    def __init__(self, force: bool = False) -> None:
        self._force = force
        self._pending: list[_Pending] = []
        self._temporary: list[str] = []
        self._direct: list[tuple[str, BinaryIO]] = []

    def __enter__(self) -> Output:
        return self

    def open(self, path: str | os.PathLike[str]) -> BinaryIO:
        """A binary file to write to; it appears as ``path`` when the block ends."""
        name = os.path.basename(path)
        check_target(path, self._force)
        # The file behind a link is replaced, not the link.
        target = os.path.realpath(path)
        if is_stream(target):  # nothing to replace
            handle = guard(name, _open_direct, target)
            self._direct.append((name, handle))
            return handle
        temporary = _beside(target)
        # Known before it is there: an interrupt in between must not leave it behind.
        self._temporary.append(temporary)
        handle = guard(name, _open_new, temporary)
        self._pending.append(_Pending(name, target, temporary, handle))
        return handle

    def write(self, path: str | os.PathLike[str], data: bytes) -> None:
        """Write one whole file, for instance a sidecar."""
        handle = self.open(path)
        guard(os.path.basename(path), handle.write, data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            self._commit()
        except BaseException:
            self._discard()
            raise

    def _commit(self) -> None:
        for name, handle in self._direct:
            guard(name, handle.close)
        for file in self._pending:
            guard(file.name, _finish, file)
        # Data are safe; from here on only renames, undone if one of them fails.
        done: list[_Moved] = []
        try:
            for file in self._pending:
                done.append(_Moved(file, os.path.exists(file.target), _beside(file.target)))
                if self._force:
                    _keep_old(done[-1])
                    guard(file.name, os.replace, file.temporary, file.target)
                else:
                    _put(file)
        except BaseException:
            for moved in reversed(done):
                _restore(moved)
            raise
        self._temporary = [moved.backup for moved in done]
        for backup in self._temporary:
            with suppress(OSError):
                os.unlink(backup)
        for folder in {os.path.dirname(file.target) for file in self._pending}:
            _sync_folder(folder)

    def _discard(self) -> None:
        for _, handle in self._direct:
            with suppress(OSError):
                handle.close()
        for file in self._pending:
            with suppress(OSError):
                file.handle.close()
        for temporary in self._temporary:
            with suppress(OSError):
                os.unlink(temporary)


def check_target(path: str | os.PathLike[str], force: bool) -> None:
    """Refuse early what could not be written at the end: an existing file, a missing or closed folder."""
    name = os.path.basename(path)
    if "\0" in os.fsdecode(path):
        raise OptionError("a file name cannot hold a NUL character", found=repr(os.fsdecode(path)))
    target = os.path.realpath(path)
    if os.path.isdir(target):
        raise OutputError("the output is a folder", file=name, hint="Name a file in it")
    if os.path.exists(target):
        if os.path.isfile(target) and not force:
            raise _exists("the output exists already", name)
        if is_stream(target):
            return
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        what = f"the folder {os.path.basename(folder)!r} does not exist"
        raise OutputError(what, file=name, hint="Create it, or choose another output")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"the folder {os.path.basename(folder)!r} cannot be written to", file=name, hint="Choose another output"
        )


def _exists(what: str, name: str) -> OptionError:
    return OptionError(what, file=name, hint=f"{option_value('force', True)} overwrites it")


def is_stream(path: str | os.PathLike[str]) -> bool:
    """Whether something is there that takes data and keeps no file: ``/dev/null``, a pipe."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def sweep(folder: str | os.PathLike[str]) -> list[str]:
    """Remove temporary files that dead runs left in a folder; return their names.

    A file goes when it was not written to for an hour, or when the process that made it on this machine is gone.
    """
    removed = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _TEMPORARY.fullmatch(entry.name)
            if match is None:
                continue
            with suppress(OSError):
                if not entry.is_file(follow_symlinks=False):
                    continue
                age = time.time() - entry.stat(follow_symlinks=False).st_mtime
                gone = match[1] == _host() and not _is_running(int(match[2]))
                if gone or age > STALE_AFTER:
                    os.unlink(entry.path)
                    removed.append(entry.name)
    return sorted(removed)


def guard(name: str, act: Callable[..., T], *arguments: Any) -> T:
    """Call ``act``; an OSError (a broken pipe excepted) becomes an OutputError about the file ``name``."""
    try:
        return act(*arguments)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _explain(name, error) from error


def _explain(name: str, error: OSError) -> OutputError:
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return OutputError("the disk is full", file=name, hint="Free some space, or choose another output")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        what = "the file cannot be written here"
        return OutputError(what, file=name, found=error.strerror, hint="Choose another output")
    if error.errno == errno.ENOENT:
        return OutputError("the folder does not exist", file=name, hint="Create it, or choose another output")
    return OutputError("the file could not be written", file=name, found=error.strerror or type(error).__name__)


def _temporary_name(name: str) -> str:
    short = name.encode("utf-8", "surrogateescape")[:_NAME_BYTES].decode("utf-8", "ignore")
    return f".{short}.{_host()}-{os.getpid()}-{os.urandom(4).hex()}.tmp"


def _host() -> str:
    # Process numbers mean nothing on another machine that shares the folder.
    name = os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
    return f"{zlib.crc32(name.encode()):08x}"


def _is_running(pid: int) -> bool:
    if os.name == "nt":  # signal 0 is not harmless there; the age decides
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def temporary_in(folder: str, name: str) -> str:
    """The path of a hidden file for a while, which ``sweep`` takes away if its run is killed."""
    return os.path.join(folder, _temporary_name(name))


def _beside(target: str) -> str:
    return os.path.join(os.path.dirname(target), _temporary_name(os.path.basename(target)))


def _open_direct(target: str) -> BinaryIO:
    return open(target, "wb")


def _open_new(temporary: str) -> BinaryIO:
    # Not tempfile: its files are private to the user, and the result would be too.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(temporary, flags, 0o666), "wb")


def _finish(file: _Pending) -> None:
    file.handle.flush()
    os.fsync(file.handle.fileno())
    file.handle.close()
    with suppress(FileNotFoundError, PermissionError):
        os.chmod(file.temporary, stat.S_IMODE(os.stat(file.target).st_mode))


def _put(file: _Pending) -> None:
    """Give the file its name, if nothing has that name.

    Raises
    ------
    OptionError
        Something has it: another run was quicker.
    """
    try:
        guard(file.name, _link, file.temporary, file.target)
    except OutputError as error:
        if isinstance(error.__cause__, FileExistsError):
            raise _exists("the output exists already: it appeared during the run", file.name) from None
        raise


def _link(temporary: str, target: str) -> None:
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: an empty file holds the place
        try:
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            os.replace(temporary, target)
        except FileExistsError:
            raise
        except BaseException:
            with suppress(OSError):
                if os.path.exists(temporary) and not os.path.getsize(target):
                    os.unlink(target)
            raise
    else:
        os.unlink(temporary)


def _keep_old(moved: _Moved) -> None:
    """A second name for what the target holds now, so that it can be put back."""
    with suppress(OSError):  # nothing there, or a file system without links
        os.link(moved.file.target, moved.backup)


def _restore(moved: _Moved) -> None:
    with suppress(OSError):
        if os.path.lexists(moved.backup):
            os.replace(moved.backup, moved.file.target)
            # Renaming one of two names of the same file does nothing, and both names stay.
            with suppress(FileNotFoundError):
                os.unlink(moved.backup)
        elif not moved.existed and _in_place(moved.file):
            os.unlink(moved.file.target)


def _in_place(file: _Pending) -> bool:
    """Whether what has the name of the target is this file; just now it may have two names."""
    return not os.path.exists(file.temporary) or os.path.samefile(file.temporary, file.target)


def _sync_folder(folder: str) -> None:
    if os.name == "nt":
        return
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
