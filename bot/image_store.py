"""Picture bytes on disk: `<root>/<job>/<index>.png`, native size. Rows and bytes are stored apart; the row knows the hash."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from uuid import UUID

SOURCE = "source.png"
"""A job's own copy of the picture it starts from, so that deleting its parent takes nothing away from it."""


class ImageStore:
    """All file work happens in threads. Every path is built from a UUID and a number, so none can leave the root."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, job_id: UUID, index: int) -> Path:
        """Where picture `index` of a job stands, or would stand."""
        if index < 0:
            raise ValueError(f"a picture's index counts from 0, not {index}")
        return self._folder(job_id) / f"{index:d}.png"

    def source_path(self, job_id: UUID, number: int = 0) -> Path:
        """Where a job's own copy of a picture it starts from stands, or would stand."""
        return self._folder(job_id) / (f"source-{number:d}.png" if number else SOURCE)

    async def write(self, path: Path, data: bytes) -> str:
        """Write a picture so that it is either wholly there or not at all; returns its sha256.

        Raises:
            OSError: nothing stands at the path then, or what stood there before.
        """
        return await asyncio.to_thread(lambda: _write(self._inside(path), data))

    async def read(self, path: Path) -> bytes:
        """Raises FileNotFoundError when the picture is not there."""
        return await asyncio.to_thread(lambda: self._inside(path).read_bytes())

    async def copy(self, source: Path, target: Path) -> str:
        """Copy a picture; returns its sha256. Raises FileNotFoundError when the source is not there."""
        return await self.write(target, await self.read(source))

    async def exists(self, path: Path) -> bool:
        """Whether a picture is there."""
        return await asyncio.to_thread(lambda: self._inside(path).is_file())

    async def delete(self, job_id: UUID) -> None:
        """Remove everything of a job; a job without files is fine."""
        await asyncio.to_thread(shutil.rmtree, self._folder(job_id), ignore_errors=True)

    async def delete_pictures(self, job_id: UUID) -> None:
        """Remove a job's pictures and half-written files, but keep the one it starts from: a retry needs it."""
        await asyncio.to_thread(_delete_all_but_source, self._folder(job_id))

    async def sweep(self, keep: Collection[UUID]) -> int:
        """Remove the folders of jobs that are not in `keep`, left behind by a crash; returns how many."""
        return await asyncio.to_thread(_sweep, self._root, {str(job_id) for job_id in keep})

    def _folder(self, job_id: UUID) -> Path:
        return self._root / str(UUID(bytes=job_id.bytes))

    def _inside(self, path: Path) -> Path:
        if not path.resolve().is_relative_to(self._root.resolve()):
            raise ValueError(f"{path} is outside the image store")
        return path


def _write(path: Path, data: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    # One name per picture: what a crash left half-written is overwritten by the next attempt.
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise
    # The name is durable once its folder is. Windows and some network disks refuse this step; the picture is there.
    with suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return hashlib.sha256(data).hexdigest()


def _delete_all_but_source(folder: Path) -> None:
    with suppress(FileNotFoundError):
        for file in folder.iterdir():
            if not file.name.startswith("source") or file.suffix != ".png":
                file.unlink(missing_ok=True)
        with suppress(OSError):  # the source is still in it
            folder.rmdir()


def _sweep(root: Path, keep: set[str]) -> int:
    if not root.is_dir():
        return 0
    removed = 0
    for folder in root.iterdir():
        if folder.name not in keep and _is_uuid(folder.name):
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
    return removed


def _is_uuid(name: str) -> bool:
    """Only folders that the store itself could have made are removed."""
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False
