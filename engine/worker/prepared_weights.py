"""What was read of the files that requests name, and how long it stays: counted in the memory budget beside models."""

from __future__ import annotations

import threading
from collections import OrderedDict

from engine.request import Request
from engine.worker.file_cache import Held
from engine.worker.request_state import NamedFiles


class PreparedWeights:
    """Held for requests until they end, and afterwards for whoever names the same, as long as there is room for it. Any
    thread may ask.
    """

    def __init__(self) -> None:
        self._of_requests: dict[tuple[str, str], tuple[Request, NamedFiles]] = {}
        """By request id, and the model or copy that they were read for."""
        self._lately: OrderedDict[Held, str] = OrderedDict()
        """What was read, the longest unused first, and for which model."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Of how many requests, and copies of their models, something is held."""
        return len(self._of_requests)

    def put(self, request: Request, files: NamedFiles) -> None:
        """Hold what was read for `request.model`."""
        with self._lock:
            self._of_requests[request.request_id, request.model] = request, files
            for content in files.contents:
                self._lately[content] = request.model
                self._lately.move_to_end(content)

    def get(self, request: Request) -> NamedFiles | None:
        """What was read for `request.model`; None where nothing was, or for an aborted namesake."""
        known, weights = self._of_requests.get((request.request_id, request.model), (None, None))
        return weights if known == request else None

    def forget(self, request_id: str) -> None:
        """Take note that a request has ended."""
        with self._lock:
            for place in [place for place in self._of_requests if place[0] == request_id]:
                del self._of_requests[place]

    def leave(self, model: str) -> None:
        """Take note that a model has left: what was read for it is of use only to the requests that hold it."""
        with self._lock:
            for content in [content for content, its in self._lately.items() if its == model]:
                del self._lately[content]

    @property
    def nbytes(self) -> int:
        """Of everything that is held."""
        with self._lock:
            return _sum({*self._lately, *self._needed()})

    def shrink(self, most_bytes: int) -> int:
        """Let go of what no request holds, the longest unused first, until all takes no more than so many bytes, as far as
        that can be; the bytes that are left.
        """
        with self._lock:
            needed = self._needed()
            left = _sum({*self._lately, *needed})
            for content in [content for content in self._lately if content not in needed]:
                if left <= most_bytes:
                    break
                del self._lately[content]
                left -= content.nbytes
            return left

    def _needed(self) -> set[Held]:
        return {content for _, weights in self._of_requests.values() for content in weights.contents}


def _sum(contents: set[Held]) -> int:
    return sum(content.nbytes for content in contents)
