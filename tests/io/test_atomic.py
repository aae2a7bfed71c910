from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gridnorm.errors import OptionError, OutputError
from gridnorm.io import atomic
from gridnorm.io.atomic import Output, check_target, sweep


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_appears_only_at_the_end(tmp_path: Path) -> None:
    with Output() as output:
        output.open(tmp_path / "a.tsv").write(b"x\n")
        assert not (tmp_path / "a.tsv").exists()
        assert all(name.startswith(".a.tsv.") for name in names(tmp_path))
    assert (tmp_path / "a.tsv").read_bytes() == b"x\n"
    assert names(tmp_path) == ["a.tsv"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_after_any_exception_nothing_remains_and_the_old_result_stays(
    tmp_path: Path, error: type[BaseException]
) -> None:
    (tmp_path / "a.tsv").write_bytes(b"old")
    with pytest.raises(error), Output(force=True) as output:
        output.write(tmp_path / "a.tsv", b"new")
        output.write(tmp_path / "b.json", b"new")
        raise error
    assert names(tmp_path) == ["a.tsv"]
    assert (tmp_path / "a.tsv").read_bytes() == b"old"


# The handle that an interrupted fdopen made is closed by the collector, which says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize("call", ["open", "fdopen", "fsync", "link", "replace", "unlink", "chmod"])
def test_an_interrupt_after_any_system_call_leaves_the_old_pair_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, at: int
) -> None:
    """Ctrl-C can come when a file is there and nobody knows of it yet."""
    (tmp_path / "a.tsv").write_bytes(b"old")
    known, count = getattr(os, call), [0]

    def interrupted(*arguments: object, **more: object) -> object:
        result = known(*arguments, **more)
        count[0] += 1
        if count[0] == at + 1:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(os, call, interrupted)
    with contextlib.suppress(KeyboardInterrupt), Output(force=True) as output:
        output.write(tmp_path / "a.tsv", b"new")
        output.write(tmp_path / "b.json", b"new")
    monkeypatch.undo()
    pair = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    assert pair in ({"a.tsv": b"old"}, {"a.tsv": b"new", "b.json": b"new"})


def test_an_existing_output_needs_force(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b"old")
    with (
        pytest.raises(OptionError, match=r"a\.tsv: the output exists already\. force=True") as caught,
        Output() as output,
    ):
        output.write(tmp_path / "a.tsv", b"new")
    assert caught.value.exit_code == 2
    with Output(force=True) as output:
        output.write(tmp_path / "a.tsv", b"new")
    assert (tmp_path / "a.tsv").read_bytes() == b"new"


def test_a_missing_folder_and_a_folder_as_target_are_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="the folder 'absent' does not exist"):
        check_target(tmp_path / "absent" / "a.tsv", force=False)
    with pytest.raises(OutputError, match="is a folder"):
        check_target(tmp_path, force=True)


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_closed_folder_is_an_output_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            check_target(tmp_path / "a.tsv", force=False)
    finally:
        tmp_path.chmod(0o755)


class FullDisk:
    """A handle on a disk that fills up at the first write."""

    def __init__(self, handle: object) -> None:
        self.handle = handle

    def __getattr__(self, name: str) -> object:
        return getattr(self.handle, name)

    def write(self, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tsv").write_bytes(b"old")
    real = atomic._open_new
    monkeypatch.setattr(atomic, "_open_new", lambda path: FullDisk(real(path)))
    with pytest.raises(OutputError, match=r"a\.tsv: the disk is full") as caught, Output(force=True) as output:
        output.write(tmp_path / "a.tsv", b"new")
    assert caught.value.exit_code == 6
    assert names(tmp_path) == ["a.tsv"]
    assert (tmp_path / "a.tsv").read_bytes() == b"old"


def test_a_disk_that_is_full_only_at_fsync_leaves_the_old_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.tsv").write_bytes(b"old")

    def fail(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match="the disk is full"), Output(force=True) as output:
        output.write(tmp_path / "a.tsv", b"new")
        output.write(tmp_path / "a.tsv.json", b"new")
    assert names(tmp_path) == ["a.tsv"]
    assert (tmp_path / "a.tsv").read_bytes() == b"old"


@pytest.mark.parametrize("links", [True, False])
def test_if_the_second_file_cannot_be_moved_the_first_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    (tmp_path / "a.tsv").write_bytes(b"old")
    real = os.replace

    def replace(source: str, target: str) -> None:
        if Path(target).name == "b.json":
            raise OSError(errno.EACCES, "Permission denied")
        real(source, target)

    def no_link(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "replace", replace)
    if not links:
        monkeypatch.setattr(os, "link", no_link)
    with pytest.raises(OutputError, match=r"b\.json"), Output(force=True) as output:
        output.write(tmp_path / "new.tsv", b"new")
        output.write(tmp_path / "a.tsv", b"new")
        output.write(tmp_path / "b.json", b"new")
    assert names(tmp_path) == ["a.tsv"]
    # Without hard links an old result cannot be kept aside; it is the new one then, but never half of it.
    assert (tmp_path / "a.tsv").read_bytes() == (b"old" if links else b"new")


CHILD = """
import sys, time
from gridnorm.io.atomic import Output
with Output(force=True) as output:
    handle = output.open(sys.argv[1])
    while True:
        handle.write(b"x" * 100000)
        handle.flush()
        print("writing", flush=True)
        time.sleep(0.01)
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_killed_run_leaves_the_target_untouched_and_is_swept(tmp_path: Path) -> None:
    target = tmp_path / "a.tsv"
    target.write_bytes(b"old")
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(target)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    assert sweep(tmp_path) == []  # it is alive
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert target.read_bytes() == b"old"
    left = [name for name in names(tmp_path) if name != "a.tsv"]
    assert len(left) == 1
    assert sweep(tmp_path) == left
    assert names(tmp_path) == ["a.tsv"]


def test_sweep_takes_old_temporary_files_of_other_machines_and_nothing_else(tmp_path: Path) -> None:
    foreign = f".a.tsv.00000000-{os.getpid()}-0a1b2c3d.tmp"
    old = f".b.tsv.00000000-{os.getpid()}-0a1b2c3d.tmp"
    for name in (foreign, old, ".hidden.tmp", "a.tsv", ".a.tsv.tmp"):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (1, 1))
    os.utime(tmp_path / foreign, (time.time(), time.time()))
    assert sweep(tmp_path) == [old]
    assert names(tmp_path) == sorted([foreign, ".hidden.tmp", "a.tsv", ".a.tsv.tmp"])
    assert sweep(tmp_path / "absent") == []


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_a_result_has_the_usual_mode_and_a_replaced_one_keeps_its_own(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        with Output() as output:
            output.write(tmp_path / "a.tsv", b"")
        assert (tmp_path / "a.tsv").stat().st_mode & 0o777 == 0o644
        (tmp_path / "a.tsv").chmod(0o640)
        with Output(force=True) as output:
            output.write(tmp_path / "a.tsv", b"")
        assert (tmp_path / "a.tsv").stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(mask)


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_the_file_behind_a_link_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.tsv").write_bytes(b"old")
    (tmp_path / "a.tsv").symlink_to(tmp_path / "real" / "a.tsv")
    with Output(force=True) as output:
        output.write(tmp_path / "a.tsv", b"new")
    assert (tmp_path / "a.tsv").is_symlink()
    assert (tmp_path / "real" / "a.tsv").read_bytes() == b"new"


@pytest.mark.skipif(os.name == "nt", reason="no /dev/null")
def test_a_device_is_written_to_and_not_replaced() -> None:
    with Output() as output:
        output.write("/dev/null", b"x")
    assert not Path("/dev/null").is_file()


def test_long_names_work(tmp_path: Path) -> None:
    name = "å" * 120 + ".tsv"  # 244 bytes
    with Output() as output:
        output.write(tmp_path / name, b"x")
    assert names(tmp_path) == [name]


@pytest.mark.skipif(os.name == "nt", reason="folders have no descriptor there")
def test_data_and_then_their_folder_are_on_the_disk_before_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, move = os.fsync, os.link

    def fsync(handle: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else f"{os.fstat(handle).st_size} bytes")
        sync(handle)

    def link(source: str, target: str) -> None:
        steps.append(Path(target).name)
        move(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    with Output() as output:
        output.write(tmp_path / "a.tsv", b"12345")
        output.write(tmp_path / "a.json", b"123")
    assert steps == ["5 bytes", "3 bytes", "a.tsv", "a.json", "folder"]


def test_a_target_that_someone_else_has_made_meanwhile_survives_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.replace

    def replace(source: str, target: str) -> None:
        if Path(target).name == "b.json":
            Path(target).write_bytes(b"theirs")
            raise OSError(errno.EACCES, "Permission denied")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OutputError, match=r"b\.json"), Output(force=True) as output:
        output.write(tmp_path / "a.tsv", b"ours")
        output.write(tmp_path / "b.json", b"ours")
    assert names(tmp_path) == ["b.json"]
    assert (tmp_path / "b.json").read_bytes() == b"theirs"


def no_links(source: str, target: str) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("name", ["a.tsv", "a.json"])
def test_without_force_nothing_is_replaced_that_appears_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, links: bool
) -> None:
    if not links:  # as on a memory card
        monkeypatch.setattr(os, "link", no_links)
    said = rf"{name}: .*appeared during the run\. force=True overwrites it"
    with pytest.raises(OptionError, match=said) as caught, Output() as output:
        output.write(tmp_path / "a.tsv", b"ours")
        output.write(tmp_path / "a.json", b"ours")
        (tmp_path / name).write_bytes(b"theirs")
    assert caught.value.exit_code == 2
    assert names(tmp_path) == [name] and (tmp_path / name).read_bytes() == b"theirs"
    with Output() as output:
        output.write(tmp_path / "b.tsv", b"ours")
    assert names(tmp_path) == sorted([name, "b.tsv"]) and (tmp_path / "b.tsv").read_bytes() == b"ours"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("call", ["open", "link", "replace", "unlink"])
@pytest.mark.parametrize("links", [True, False])
def test_an_interrupt_without_force_leaves_both_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, at: int, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    known, count = getattr(os, call), [0]

    def interrupted(*arguments: object, **more: object) -> object:
        result = known(*arguments, **more)
        count[0] += 1
        if count[0] == at + 1:
            raise KeyboardInterrupt
        return result

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(os, call, interrupted)
        with Output() as output:
            output.write(tmp_path / "a.tsv", b"new")
            output.write(tmp_path / "b.json", b"new")
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} in (
        {},
        {"a.tsv": b"new", "b.json": b"new"},
    )
