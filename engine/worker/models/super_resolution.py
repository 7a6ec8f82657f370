"""Super-resolution by itself: pictures of any size, 2 to 16 times as large. One stage, which other families may end with too.

The network is Fourfold's own (a compact one, after Wang et al. 2021), or any that spandrel reads.
"""

from __future__ import annotations

from engine.worker.interface import Stage
from engine.worker.loader import Components
from engine.worker.super_resolution import SuperResolution


class SuperResolutionModel:
    """A loaded network."""

    def __init__(self, components: Components, *, exact: bool) -> None:
        """`exact`: every tile is enlarged by itself, so that company cannot change it."""
        network = components.super_resolution
        self._stage = SuperResolution(network, components.device, components.dtype, exact=exact)
        self.stages: tuple[Stage, ...] = (self._stage,)

    def save_memory(self) -> bool:
        """Take half as many tiles at once from now on; False when it is one already."""
        return self._stage.save_memory()
