"""The vectors of one user's pictures in memory, and which of them lie nearest. Plain numpy: call it in a thread."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import numpy as np
import numpy.typing as npt

from bot.database import Vectors

STORED = np.dtype("<f2")


class PictureVectors:
    """Rows of `vectors` (pictures, width) in float32, with the job, index and row id of each, oldest first."""

    def __init__(self, page: Vectors) -> None:
        count = len(page.ids)
        self.vectors: npt.NDArray[np.float32] = np.empty((0, 1), np.float32)
        if count:
            self.vectors = from_stored(b"".join(page.data)).reshape(count, -1)
        jobs = b"".join(job_id.bytes for job_id, _ in page.pictures)
        self._jobs = np.frombuffer(jobs, np.uint8).reshape(count, 16)
        self._indices = np.array([index for _, index in page.pictures], np.uint8)
        self.newest = page.ids[-1] if count else 0
        """The id of the last row."""

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.vectors.nbytes + self._jobs.nbytes + self._indices.nbytes

    @staticmethod
    def joined(parts: Sequence[PictureVectors], most: int) -> PictureVectors:
        """All of these, the newest last: the newest `most`."""
        whole = PictureVectors(Vectors(ids=(), pictures=(), data=()))
        parts = [part for part in parts if len(part)]
        if parts:
            whole.vectors = np.concatenate([part.vectors for part in parts])[-most:]
            whole._jobs = np.concatenate([part._jobs for part in parts])[-most:]
            whole._indices = np.concatenate([part._indices for part in parts])[-most:]
            whole.newest = parts[-1].newest
        return whole

    def best(self, vector: npt.NDArray[np.float32], count: int) -> list[tuple[UUID, int, float]]:
        """The `count` pictures whose dot products with `vector` are largest: job, index and product, best first.

        Of equals the newest comes first. A vector of another width, of another model by the same name, finds nothing.
        """
        if not len(self) or self.vectors.shape[1] != len(vector):
            return []
        products = self.vectors @ vector
        nearest = np.arange(len(self))
        if count < len(self):
            nearest = np.argpartition(-products, count)[:count]
        order = nearest[np.lexsort((-nearest, -products[nearest]))]
        return [
            (UUID(bytes=self._jobs[row].tobytes()), int(self._indices[row]), float(products[row]))
            for row in order
        ]


def stored_form(vector: npt.NDArray[np.float32]) -> bytes:
    """As the database keeps it."""
    return vector.astype(STORED).tobytes()


def from_stored(data: bytes) -> npt.NDArray[np.float32]:
    """As it is computed with."""
    return np.frombuffer(data, STORED).astype(np.float32)
