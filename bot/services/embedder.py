"""Pictures and words as vectors of the model that compares them, asked of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

from bot.errors import UserError
from bot.services.engine_errors import ENGINE_CLOSED, as_user_error
from engine import (
    EmbeddingReady,
    EmbedRequest,
    Engine,
    EngineError,
    FinishReason,
    Lane,
    ModelInfo,
    Operation,
    RequestOutput,
)

MOST_AT_ONCE = 16
"""Pictures and texts of one request."""


class Embedder:
    """Every method may be called when there is no such model: the answer is then a sentence."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def model(self) -> str | None:
        """The name of the model that compares pictures with texts; None where there is none."""
        info = self._info()
        return info.name if info else None

    async def best_first(self, images: Sequence[Path], text: str, *, share_key: str) -> list[int]:
        """The places of some pictures, the one first that lies nearest to the text. Raises as `vectors`."""
        *seen, said = await self.vectors(share_key=share_key, images=images, texts=(text,))
        return sorted(range(len(seen)), key=lambda place: -float(seen[place] @ said))

    async def vectors(
        self,
        *,
        share_key: str,
        lane: Lane = Lane.FAST,
        images: Sequence[Path] = (),
        texts: Sequence[str] = (),
    ) -> list[npt.NDArray[np.float32]]:
        """One float32 (width,) of length 1 for each picture, then for each text.

        Raises:
            UserError: `cannot_compare` where there is no such model, or why the engine could not.
        """
        info = self._info()
        if info is None:
            raise UserError("cannot_compare")
        request = EmbedRequest(
            request_id=uuid4().hex,
            model=info.name,
            share_key=share_key,
            lane=lane,
            images=tuple(images),
            texts=tuple(texts),
        )
        found: dict[int, npt.NDArray[np.float32]] = {}
        ended = False
        try:
            async for item in self._engine.submit(request):
                match item:
                    case EmbeddingReady(index, vector):
                        found[index] = vector
                    case RequestOutput(finish_reason=FinishReason.FAILED, error=error) if error is not None:
                        ended = True
                        raise error
                    case RequestOutput():
                        ended = True
        except EngineError as error:
            ended = True
            raise as_user_error(error) from error
        finally:
            if not ended:
                self._engine.abort(request.request_id)
        if len(found) < request.count:
            raise UserError(ENGINE_CLOSED)
        return [found[index] for index in range(request.count)]

    def _info(self) -> ModelInfo | None:
        return next((info for info in self._engine.models() if Operation.EMBED in info.operations), None)
