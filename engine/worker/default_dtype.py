"""torch's default dtype, which belongs to the whole process and which libraries change while they load a model."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_changing = threading.Lock()


@contextmanager
def default_dtype_kept() -> Iterator[None]:
    """Within, one thread at a time may change it, and leaves it as it was: two loads at once would each put back what the
    other has set, and one that is ended in the middle puts nothing back.
    """
    with _changing:
        before = torch.get_default_dtype()
        try:
            yield
        finally:
            torch.set_default_dtype(before)
