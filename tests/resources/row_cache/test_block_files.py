"""Files of blocks: what is read is what was written under that name, or nothing; nothing half-made is seen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resources.row_cache.block_file import BlockFile, BlockWriter, DamagedBlocksError
from resources.row_cache.block_files import BlockFiles, block_files

BLOCKS = {0: b"first", 2: b"", 1: bytes(range(40))}


def put(files: BlockFiles, name: str, blocks: dict[int, bytes] = BLOCKS) -> BlockFile:
    writer = files.begin(name)
    writer.put(blocks)
    return writer.finish(len(blocks), ["notes", len(blocks)])


def found(files: BlockFiles, name: str) -> BlockFile:
    file = files.find(name)
    assert file is not None
    return file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_is_read_by_others_and_is_for_this_user_alone(tmp_path: Path) -> None:
    put(BlockFiles(tmp_path / "rows"), "a")
    file = found(BlockFiles(tmp_path / "rows"), "a")
    assert {number: file.read(number) for number in range(file.count)} == BLOCKS
    assert file.notes == ["notes", 3]
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path / "rows") == ["a.blocks"]


def test_nothing_is_found_before_all_is_written_and_the_writer_reads_what_is(tmp_path: Path) -> None:
    files = BlockFiles(tmp_path)
    writer = files.begin("a")
    writer.put({1: b"one"})
    assert (writer.read(1), writer.read(0), writer.has(1), writer.has(0)) == (b"one", None, True, False)
    assert files.find("a") is None
    with pytest.raises(ValueError, match="1 of 2 blocks"):
        writer.finish(2, None)
    writer.put({0: b"none", 1: b"other"})
    file = writer.finish(2, None)
    assert (file.read(0), file.read(1)) == (b"none", b"one")


def test_a_file_that_is_changed_anywhere_gives_back_what_was_written_or_nothing(tmp_path: Path) -> None:
    files = BlockFiles(tmp_path)
    path = put(files, "a").path
    whole = path.read_bytes()
    refused = 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        file = files.find("a")
        if file is None:
            refused += 1
            assert not path.exists()
            continue
        for number, content in BLOCKS.items():
            try:
                assert file.read(number) == content
            except DamagedBlocksError:
                refused += 1
    assert refused == len(whole)


def test_a_file_that_was_torn_does_not_open_wherever(tmp_path: Path) -> None:
    files = BlockFiles(tmp_path)
    path = put(files, "a").path
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert files.find("a") is None
        assert not path.exists()


def test_a_file_of_another_name_is_not_taken_for_it_and_is_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = BlockFiles(tmp_path)
    put(files, "a").path.rename(tmp_path / "b.blocks")
    assert files.find("b") is None
    assert "its table is damaged, or of another file" in caplog.text
    put(files, "b", {0: b"its own"})
    assert found(files, "b").read(0) == b"its own"


def test_one_writes_at_a_time_and_whoever_is_killed_leaves_it_to_others(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from resources.row_cache.block_files import BlockFiles
writer = BlockFiles(Path({str(tmp_path)!r})).begin("a")
writer.put({{0: b"half"}})
print("begun", flush=True)
time.sleep(60)
"""
    files = BlockFiles(tmp_path)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "begun\n"
        with pytest.raises(BlockingIOError):
            files.begin("a")
        assert files.find("a") is None
        other.kill()
    assert names(tmp_path) == ["a.blocks.part"]
    assert put(files, "a", {0: b"whole"}).read(0) == b"whole"
    assert names(tmp_path) == ["a.blocks"]


def test_what_is_removed_meanwhile_is_read_to_the_end_and_known_to_be_gone(tmp_path: Path) -> None:
    files = BlockFiles(tmp_path)
    file = put(files, "a")
    assert file.is_there
    file.path.unlink()
    assert (file.is_there, file.read(0)) == (False, b"first")
    put(files, "a", {0: b"again"})
    assert (file.is_there, file.read(0)) == (False, b"first")
    writer = files.begin("b")
    (tmp_path / "b.blocks.part").unlink()
    other = files.begin("b")
    writer.put({0: b"x"})
    with pytest.raises(FileNotFoundError):
        writer.finish(1, None)
    writer.abandon()
    other.put({0: b"y"})
    assert other.finish(1, None).read(0) == b"y"


def test_what_is_abandoned_leaves_nothing(tmp_path: Path) -> None:
    writer = BlockFiles(tmp_path).begin("a")
    writer.put(BLOCKS)
    writer.abandon()
    assert names(tmp_path) == []


def test_for_want_of_room_those_go_that_are_not_in_use_oldest_first_and_nothing_else(tmp_path: Path) -> None:
    files = BlockFiles(tmp_path, 4_000)
    (tmp_path / "of_somebody_else").write_bytes(bytes(3_000))
    for at, name in enumerate(("old", "used", "new")):
        os.utime(put(files, name, {0: bytes(1_000)}).path, (at, at))
    files.use({"used", "next"})
    put(files, "next", {0: bytes(1_000)})
    assert names(tmp_path) == ["new.blocks", "next.blocks", "of_somebody_else", "used.blocks"]
    writer = files.begin("next_but_one")
    with pytest.raises(OSError, match="no more bytes"):
        writer.put({0: bytes(3_500)})
    assert not {"used.blocks", "next.blocks"} - {*names(tmp_path)}
    assert block_files(tmp_path, 0) is None


def test_a_file_that_cannot_be_read_is_left_alone_and_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = BlockFiles(tmp_path)
    put(files, "a")

    def refused(*_: object) -> BlockFile:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("resources.row_cache.block_files.BlockFile", refused)
    for _ in range(3):
        assert files.find("a") is None
        with pytest.raises(FileExistsError):
            files.begin("a")
    assert len(caplog.records) == 1
    assert names(tmp_path) == ["a.blocks"]


def test_a_disk_that_takes_no_more_leaves_no_block_that_is_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, write = BlockFiles(tmp_path).begin("a"), os.pwrite

    def short(descriptor: int, content: memoryview, place: int) -> int:
        if place >= 900:
            raise OSError(28, "No space left on device")
        return write(descriptor, content[:100], place)

    monkeypatch.setattr(os, "pwrite", short)
    writer.put({0: bytes(range(250))})
    with pytest.raises(OSError, match="No space"):
        writer.put({1: bytes(900)})
    assert (writer.read(0), writer.read(1)) == (bytes(range(250)), None)


def test_a_writer_needs_its_folder(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("no folder")
    files = BlockFiles(tmp_path / "rows")
    with pytest.raises(FileExistsError):
        files.begin("a")
    with pytest.raises(FileNotFoundError):
        BlockWriter(tmp_path / "none" / "a.blocks", "a", lambda _: True)
    assert files.find("a") is None
