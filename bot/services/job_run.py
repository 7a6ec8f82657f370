"""One job on its way through the engine: watch its stream, store its pictures, report."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

from bot.database import DatabaseUnavailableError, JobRepository
from bot.domain import Action, Job, JobState, JobUpdate, StoredImage
from bot.downloads import Downloads
from bot.errors import UserError
from bot.image_store import ImageStore
from bot.prompting import generation_text, model_label, request_of, source_count
from bot.rendering import compose_preview, encode_png, picture_size
from bot.services.embedder import Embedder
from bot.services.engine_errors import ENGINE_CLOSED, as_user_error
from bot.services.update_feed import UpdateFeed
from bot.services.waiting_line import WaitingLine
from bot.texts import say
from engine import (
    Engine,
    EngineError,
    FinishReason,
    ImageReady,
    Loading,
    ModelInfo,
    Progress,
    Queued,
    RequestOutput,
    Safety,
    TextReady,
)

log = logging.getLogger(__name__)

BUSY_DELAYS = (1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts to note finished pictures: a backup that locks the database must not cost their GPU time."""
UNFINISHED = (JobState.WAITING, JobState.RUNNING)
"""What can still be cancelled. A job leaves these states once, by an UPDATE that names them; who wins it reports."""


class JobRun:
    """Runs a job to its end: POSTING with its pictures durable, or FAILED. `stop` ends it without a report."""

    def __init__(
        self,
        job: Job,
        model: ModelInfo,
        *,
        engine: Engine,
        jobs: JobRepository,
        image_store: ImageStore,
        downloads: Downloads,
        embedder: Embedder,
        line: WaitingLine,
        feed: UpdateFeed,
        now: Callable[[], datetime],
    ) -> None:
        self._job = job
        self._model = model
        self._engine = engine
        self._jobs = jobs
        self._image_store = image_store
        self._downloads = downloads
        self._embedder = embedder
        self._line = line
        self._feed = feed
        self._now = now
        self._running = False
        self._stopped = asyncio.Event()
        self._cells: list[npt.NDArray[np.uint8] | None] = [None] * len(job.seeds)
        self._images: dict[int, StoredImage] = {}
        self._texts: dict[int, str] = {}

    async def run(self) -> None:
        """Everything that can go wrong with one job ends in that job's FAILED; the next one runs."""
        try:
            output = await (self._copy_picture() if self._job.action is Action.UPSCALE else self._generate())
            if self._stopped.is_set():
                await self._image_store.delete(self._job.id)
            elif output is not None:
                await self._finish(output)
        except UserError as error:
            await self._fail(error)
        except EngineError as error:
            if error.code != ENGINE_CLOSED:
                await self._fail(as_user_error(error))
        except OSError as error:
            log.exception("a picture of job %s could not be stored", self._job.id)
            self._engine.abort(self._job.id.hex)
            await self._fail(UserError("picture_not_saved", reason=error.strerror or str(error)))
        except Exception:  # a mistake in the program must cost this job only, never the queue behind it
            log.exception("job %s failed", self._job.id)
            self._engine.abort(self._job.id.hex)
            await self._fail(UserError("internal_error"))

    def stop(self) -> None:
        """The job was cancelled: end at the engine's next step and report nothing more."""
        self._stopped.set()
        self._engine.abort(self._job.id.hex)

    async def _generate(self) -> RequestOutput | None:
        """Watch the request to its end; None when it was aborted, by `stop` or because the engine was closed."""
        if self._model.name != self._job.model:
            raise UserError("model_gone", model=model_label(self._job.model), default=self._model.title)
        request = request_of(self._job, self._model, await self._sources())
        if self._stopped.is_set():
            return None
        async for item in self._engine.submit(request):
            if self._stopped.is_set():
                return None
            match item:
                case Queued(position, eta):
                    self._report(
                        JobUpdate(job_id=self._job.id, state=JobState.WAITING, place=position, eta=eta)
                    )
                case Loading():
                    self._report(
                        JobUpdate(
                            job_id=self._job.id,
                            state=JobState.WAITING,
                            fraction=item.fraction,
                            loading=self._loading(item),
                        )
                    )
                case Progress():
                    await self._progress(item)
                case ImageReady():
                    await self._begin()
                    await self._store(item)
                case TextReady(index, text):
                    await self._begin()
                    self._texts[index] = text
                case RequestOutput(finish_reason=FinishReason.COMPLETED) if (
                    self._job.action is Action.DESCRIBE
                ):
                    return await self._described(item)
                case RequestOutput(finish_reason=FinishReason.COMPLETED):
                    if len(self._images) == len(self._job.seeds):
                        if self._job.parameters.best and len(self._images) > 1:
                            await self._put_best_first()
                        return item
                    raise UserError("pictures_missing", got=len(self._images), expected=len(self._job.seeds))
                case RequestOutput(finish_reason=FinishReason.FAILED, error=error) if error is not None:
                    raise error
        return None

    async def _put_best_first(self) -> None:
        """Give the pictures their places by how well they fit the prompt; each keeps its seed. A job that is broken off
        meanwhile is made anew after the restart.
        """
        images, store = [self._images[index] for index in sorted(self._images)], self._image_store
        try:
            order = await self._embedder.best_first(
                [image.path for image in images], self._job.prompt, share_key=str(self._job.owner_id)
            )
        except UserError as error:
            # The pictures are worth more than their order.
            log.warning("the pictures of job %s could not be compared: %s", self._job.id, error.code)
            return
        contents = [await store.read(image.path) for image in images]
        for place, index in enumerate(order):
            path = store.path(self._job.id, place)
            await store.write(path, contents[index])
            self._images[place] = replace(images[index], index=place, path=path)

    async def _copy_picture(self) -> RequestOutput:
        """UPSCALE: the parent's picture as it is stored, metadata included. No work for the engine."""
        job = self._job
        parent = await self._jobs.get(job.parent_id) if job.parent_id else None
        pictures = parent.images if parent else ()
        picture = next((image for image in pictures if image.index == job.parent_index), None)
        if parent is None or picture is None:
            raise UserError("picture_gone")
        path = self._image_store.path(job.id, 0)
        try:
            sha256 = await self._image_store.copy(picture.path, path)
            # Rolling a variation again needs what it started from.
            with suppress(FileNotFoundError):
                for number in range(source_count(job)):
                    await self._image_store.copy(
                        self._image_store.source_path(parent.id, number),
                        self._image_store.source_path(job.id, number),
                    )
        except FileNotFoundError:
            raise UserError("picture_gone") from None
        self._images[0] = StoredImage(
            index=0,
            seed=picture.seed,
            width=picture.width,
            height=picture.height,
            sha256=sha256,
            safety=picture.safety,
            path=path,
        )
        return RequestOutput(request_id=job.id.hex, finish_reason=FinishReason.COMPLETED)

    async def _described(self, output: RequestOutput) -> RequestOutput:
        """DESCRIBE: every prompt is there, and the picture itself is what is posted with them."""
        job = self._job
        if len(self._texts) != len(job.seeds):
            raise UserError("pictures_missing", got=len(self._texts), expected=len(job.seeds))
        path = self._image_store.path(job.id, 0)
        sha256 = await self._image_store.copy(self._image_store.source_path(job.id), path)
        width, height = await asyncio.to_thread(picture_size, path)
        self._images[0] = StoredImage(
            index=0,
            seed=job.seeds[0],
            width=width,
            height=height,
            sha256=sha256,
            safety=Safety.UNCHECKED,
            path=path,
        )
        return output

    async def _sources(self) -> list[Path]:
        """The job's own copies of the pictures it starts from, made unless an earlier run has."""
        own = [
            self._image_store.source_path(self._job.id, number) for number in range(source_count(self._job))
        ]
        for number, path in enumerate(own):
            if await self._image_store.exists(path):
                continue
            if self._job.uploads:
                picture = await self._downloads.picture(self._job.uploads[number])
                if self._stopped.is_set():
                    break
                await self._image_store.write(path, picture)
            else:
                await self._copy_source(number, path)
        return own

    async def _copy_source(self, number: int, own: Path) -> None:
        job = self._job
        if job.parent_id is None:
            raise UserError("picture_gone")
        theirs = (
            self._image_store.source_path(job.parent_id, number)
            if job.parent_index is None
            else self._image_store.path(job.parent_id, job.parent_index)
        )
        try:
            await self._image_store.copy(theirs, own)
        except FileNotFoundError:
            raise UserError("picture_gone") from None

    async def _begin(self) -> None:
        if not self._running:
            self._running = True
            if not await self._jobs.move(
                self._job.id, [JobState.WAITING], JobState.RUNNING, started_at=self._now()
            ):
                self.stop()

    async def _progress(self, progress: Progress) -> None:
        await self._begin()
        fraction = progress.step / max(1, progress.steps)
        self._line.progress(self._job.id, fraction)
        preview = None
        if progress.previews:
            for index, pixels in enumerate(progress.previews):
                if pixels is not None and index not in self._images:
                    self._cells[index] = pixels
            sampling = self._job.sampling
            preview = await asyncio.to_thread(
                compose_preview,
                list(self._cells),
                width=sampling.width,
                height=sampling.height,
                in_row=self._job.strip,
            )
        self._report(
            JobUpdate(job_id=self._job.id, state=JobState.RUNNING, fraction=fraction, preview=preview)
        )

    async def _store(self, ready: ImageReady) -> None:
        job, seed = self._job, self._job.seeds[ready.index]
        text = generation_text(
            job.prompt, job.sampling, seed=seed, model=job.model, model_hash=self._model.hash
        )
        path = self._image_store.path(job.id, ready.index)
        sha256 = await self._image_store.write(path, await asyncio.to_thread(encode_png, ready.pixels, text))
        height, width = ready.pixels.shape[:2]
        self._cells[ready.index] = ready.pixels
        self._images[ready.index] = StoredImage(
            index=ready.index,
            seed=seed,
            width=width,
            height=height,
            sha256=sha256,
            safety=ready.safety,
            path=path,
        )

    async def _finish(self, output: RequestOutput) -> None:
        images = tuple(self._images[index] for index in sorted(self._images))
        texts = tuple(self._texts[index] for index in sorted(self._texts))
        for delay in (*BUSY_DELAYS, None):
            try:
                finished = await self._jobs.finish(
                    self._job.id,
                    UNFINISHED,
                    images,
                    finished_at=self._now(),
                    device_seconds=output.device_seconds,
                    texts=texts,
                    unread_words=output.unread_words,
                    unknown_words=output.unknown_words,
                )
                break
            except DatabaseUnavailableError as error:
                if delay is None:
                    raise
                log.warning(
                    "job %s is made but could not be noted (%s); again in %g s", self._job.id, error, delay
                )
                await asyncio.sleep(delay)
        if finished:
            self._report(
                JobUpdate(
                    job_id=self._job.id,
                    state=JobState.POSTING,
                    images=images,
                    texts=texts,
                    unread_words=output.unread_words,
                    unknown_words=output.unknown_words,
                )
            )
        else:
            await self._image_store.delete(self._job.id)

    async def _fail(self, error: UserError) -> None:
        values = {name: str(value) for name, value in error.values.items()}
        failed = await self._jobs.move(
            self._job.id,
            UNFINISHED,
            JobState.FAILED,
            error_code=error.code,
            error_values=values,
            finished_at=self._now(),
        )
        await self._image_store.delete_pictures(self._job.id)
        if failed:
            self._report(JobUpdate(job_id=self._job.id, state=JobState.FAILED, error=error))

    def _loading(self, loading: Loading) -> str:
        if not loading.total_bytes:
            return self._model.title
        sizes = (loading.done_bytes, loading.total_bytes)
        large = loading.total_bytes >= 1e9
        done, total = (f"{size / 1e9:.1f} GB" if large else f"{size / 1e6:.0f} MB" for size in sizes)
        return say("word.loading", self._job.locale, title=self._model.title, done=done, total=total)

    def _report(self, update: JobUpdate) -> None:
        if not self._stopped.is_set():
            self._feed.put(update)
