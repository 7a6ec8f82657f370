"""Pictures are wholly there or not at all, and nowhere else."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from bot.image_store import ImageStore

JOB_ID = UUID("12345678-1234-5678-1234-567812345678")


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "pictures")


async def test_a_picture_is_read_as_it_was_written(store: ImageStore, tmp_path: Path) -> None:
    path = store.path(JOB_ID, 3)
    assert path == tmp_path / "pictures" / str(JOB_ID) / "3.png"
    assert await store.write(path, b"first") == hashlib.sha256(b"first").hexdigest()
    assert await store.write(path, b"second") == hashlib.sha256(b"second").hexdigest()
    assert await store.read(path) == b"second"
    assert [file.name for file in path.parent.iterdir()] == ["3.png"]


async def test_what_a_crash_left_half_written_is_overwritten(store: ImageStore) -> None:
    path = store.path(JOB_ID, 0)
    path.parent.mkdir(parents=True)
    path.with_name("0.png.part").write_bytes(b"a much longer leftover of a crash")
    await store.write(path, b"whole")
    assert [(file.name, file.read_bytes()) for file in path.parent.iterdir()] == [("0.png", b"whole")]


async def test_a_failed_write_leaves_what_was_there(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.path(JOB_ID, 0)
    await store.write(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        await store.write(path, b"new")
    assert [(file.name, file.read_bytes()) for file in path.parent.iterdir()] == [("0.png", b"old")]


async def test_a_disk_that_cannot_sync_folders_keeps_pictures(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def only_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(22, "Invalid argument")
        sync(descriptor)

    monkeypatch.setattr("os.fsync", only_files)
    await store.write(store.path(JOB_ID, 0), b"picture")
    assert await store.read(store.path(JOB_ID, 0)) == b"picture"


async def test_a_slow_disk_is_not_waited_for_on_the_event_loop(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve, threads = Path.resolve, set()

    def noted(path: Path, strict: bool = False) -> Path:
        threads.add(threading.get_ident())
        return resolve(path, strict)

    monkeypatch.setattr(Path, "resolve", noted)
    await store.write(store.path(JOB_ID, 0), b"picture")
    await store.read(store.path(JOB_ID, 0))
    await store.exists(store.path(JOB_ID, 0))
    assert threading.get_ident() not in threads


async def test_a_copy_outlives_its_source(store: ImageStore) -> None:
    child = uuid4()
    await store.write(store.path(JOB_ID, 1), b"picture")
    await store.copy(store.path(JOB_ID, 1), store.source_path(child))
    await store.delete(JOB_ID)
    await store.delete(JOB_ID)
    assert await store.read(store.source_path(child)) == b"picture"
    assert not await store.exists(store.path(JOB_ID, 1))
    with pytest.raises(FileNotFoundError):
        await store.copy(store.path(JOB_ID, 1), store.path(child, 0))


async def test_pictures_go_and_the_source_stays(store: ImageStore) -> None:
    for path in (store.path(JOB_ID, 0), store.path(JOB_ID, 1), store.source_path(JOB_ID)):
        await store.write(path, b"picture")
    await store.delete_pictures(JOB_ID)
    assert [file.name for file in store.source_path(JOB_ID).parent.iterdir()] == ["source.png"]
    await store.delete_pictures(uuid4())


async def test_sweeping_removes_only_folders_of_unknown_jobs(store: ImageStore, tmp_path: Path) -> None:
    kept, unknown = uuid4(), uuid4()
    assert await store.sweep([]) == 0
    await store.write(store.path(kept, 0), b"picture")
    await store.write(store.path(unknown, 0), b"picture")
    (tmp_path / "pictures" / "holiday").mkdir()
    assert await store.sweep([kept]) == 1
    assert {folder.name for folder in (tmp_path / "pictures").iterdir()} == {str(kept), "holiday"}


async def test_no_path_leads_outside(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="counts from 0"):
        store.path(JOB_ID, -1)
    for path in (tmp_path / "elsewhere.png", tmp_path / "pictures" / ".." / "elsewhere.png"):
        with pytest.raises(ValueError, match="outside"):
            await store.write(path, b"picture")
        with pytest.raises(ValueError, match="outside"):
            await store.read(path)
