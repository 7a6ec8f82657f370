"""Everything else that diffusers' AutoPipelineForText2Image knows: its own pipeline, one picture after the other.

Such a pipeline owns its loop. Each picture runs it on a thread of its own, which stops after every step of the noise
solver and waits to be let on, so that the engine steps, shows and aborts it like any other picture; no two of these
threads ever run at once. A picture gets its own copy of the solvers; weights are shared.
"""

from __future__ import annotations

import copy
import functools
import inspect
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import diffusers
import numpy as np
import numpy.typing as npt
import torch

from engine.output import ImageReady, Result, Safety
from engine.request import GenerateRequest
from engine.worker.background import compute_as_usual
from engine.worker.interface import Stage
from engine.worker.loader import Components
from engine.worker.previews import make_estimate, thumbnails
from engine.worker.request_state import PictureState, RequestState


class AutoPipeline:
    """A loaded pipeline."""

    def __init__(self, components: Components, *, exact: bool) -> None:
        """`exact` changes nothing: pictures never share a forward pass."""
        self._vae: Any = getattr(components.pipeline, "vae", None)
        self._saving_memory = False
        self.stages: tuple[Stage, ...] = (_Denoise(components.pipeline),)

    def save_memory(self) -> bool:
        """Decode in tiles from now on, where the autoencoder can; False when that is already so."""
        if self._saving_memory or not hasattr(self._vae, "enable_tiling"):
            return False
        self._saving_memory = True
        self._vae.enable_tiling()
        return True


class _Denoise:
    """The whole pipeline, from prompt to picture."""

    name = "denoise"
    bound = True
    """A run is in the midst of a call of the pipeline."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._accepts = inspect.signature(pipeline.__call__).parameters
        self._vae = getattr(pipeline, "vae", None)
        self._estimate = None
        if isinstance(self._vae, diffusers.AutoencoderKL | diffusers.AutoencoderTiny):
            self._scaling = float(self._vae.config.scaling_factor)
            self._shift = float(self._vae.config.get("shift_factor") or 0.0)
            self._estimate = make_estimate(self._vae, self._scaling)

    def begin(self, state: RequestState) -> None:
        """Get every picture's run ready; prompts are encoded when it takes its first step."""
        request = state.request
        for index, seed in state.seeds:
            generator = torch.Generator().manual_seed(seed)
            run = _Run(self._pipeline, self._call(request, generator), self._expected_steps(request))
            state.pictures[index] = _PictureState(
                request_id=request.request_id,
                index=index,
                steps_in_pass=run.total,
                latents=torch.zeros(0, dtype=torch.float32),
                run=run,
            )

    def denoise(self, pictures: Sequence[_PictureState]) -> None:
        """Let each picture's run go on to its next step.

        A run cannot take a step back: where one picture fails, those before it keep the step they made.
        """
        for picture in pictures:
            run = picture.run
            if picture.done:
                continue
            run.advance()
            if run.latents is not None:
                picture.latents = run.latents
            # Only now does the pipeline's own schedule say how long it is.
            picture.steps_in_pass = run.steps if run.ended else max(run.total, run.steps)
            picture.step = run.steps

    def finish(self, pictures: Sequence[_PictureState]) -> list[Result]:
        """Let the runs decode, and take their pictures."""
        return [ImageReady(picture.index, picture.run.finish(), Safety.UNCHECKED) for picture in pictures]

    def preview(self, pictures: Sequence[_PictureState]) -> list[npt.NDArray[np.uint8] | None]:
        """The latents as they are; None where they are no picture of the autoencoder's."""
        return [self._preview(picture.latents) for picture in pictures]

    def _preview(self, latents: torch.Tensor) -> npt.NDArray[np.uint8] | None:
        if self._estimate is None or latents.dim() != 4:
            return None
        assert self._vae is not None
        if latents.shape[1] != self._vae.config.latent_channels:
            return None
        # The estimate knows the factor between latents and the autoencoder, not the offset.
        return thumbnails(self._estimate((latents[:1] + self._shift * self._scaling).to(self._vae.dtype)))[0]

    def _call(self, request: GenerateRequest, generator: torch.Generator) -> dict[str, Any]:
        """The pipeline's arguments, those that it accepts."""
        params = request.params
        call = {
            "prompt": request.prompt,
            "num_inference_steps": params.num_inference_steps,
            "guidance_scale": params.guidance_scale,
            "height": params.height,
            "width": params.width,
            "generator": generator,
            "output_type": "pil",
            # Sizes are checked at the door, and the prompt is the user's own.
            "use_resolution_binning": False,
            "clean_caption": False,
        }
        if params.negative_prompt:
            call["negative_prompt"] = params.negative_prompt
        if "true_cfg_scale" in self._accepts and params.guidance_scale > 1:
            # These pipelines are guided only by a negative prompt, be it blank; their own scale is a condition.
            call |= {
                "true_cfg_scale": params.guidance_scale,
                "negative_prompt": params.negative_prompt or " ",
            }
        return {name: value for name, value in call.items() if name in self._accepts}

    def _expected_steps(self, request: GenerateRequest) -> dict[str, int]:
        """Steps by solver, as far as they are known in advance."""
        steps = {"scheduler": request.params.num_inference_steps}
        prior = self._accepts.get("prior_num_inference_steps")
        return steps if prior is None else {"prior_scheduler": int(prior.default), **steps}


class _Stopped(BaseException):
    """Raised inside an aborted run; not an Exception, so that no pipeline catches it."""


@dataclass(kw_only=True)
class _PictureState(PictureState):
    """`latents` are those of the pipeline, where it shows them."""

    run: _Run


class _Run:
    """One picture's call of the pipeline, step by step. When nobody holds it any more, the call ends."""

    def __init__(self, pipeline: Any, call: dict[str, Any], expected: dict[str, int]) -> None:
        self._pipeline, self._call, self._expected = pipeline, call, expected
        self._seed = call["generator"].initial_seed() if "generator" in call else None
        self._begin()

    def _begin(self) -> None:
        """Start from the first step: also when the call has failed and is tried again, with the same noise."""
        if self._seed is not None:
            self._call["generator"].manual_seed(self._seed)
        self._pace = _Pace(dict(self._expected))
        # The thread knows the pace alone: as long as it knew the run, the run would never be given up.
        own = _with_own_solvers(self._pipeline, self._pace)
        self._thread = threading.Thread(
            target=self._pace.drive, args=(own, self._call), name="auto-pipeline", daemon=True
        )
        weakref.finalize(self, self._pace.stop)

    @property
    def steps(self) -> int:
        return self._pace.steps

    @property
    def total(self) -> int:
        return sum(self._pace.expected.values())

    @property
    def ended(self) -> bool:
        return self._pace.ended

    @property
    def latents(self) -> torch.Tensor | None:
        return self._pace.latents

    def advance(self) -> None:
        """Go on until the next step is made or the call has ended; raises what the call raised, and then begins anew."""
        if self._pace.error is not None:
            self._begin()
        if not self._thread.is_alive() and not self._pace.ended:
            self._thread.start()
        if not self._pace.ended:
            self._pace.go.release()
            self._pace.paused.acquire()
        if self._pace.error is not None:
            raise self._pace.error

    def finish(self) -> npt.NDArray[np.uint8]:
        """Go on to the end, if need be once more from the beginning; (height, width, 3)."""
        if self._pace.error is not None:
            self._begin()
        while not self._pace.ended:
            self.advance()
        if self._pace.error is not None:
            raise self._pace.error
        assert self._pace.image is not None
        return self._pace.image


class _Pace:
    """Where the engine's thread and a run's thread meet: one of them waits whenever the other goes."""

    def __init__(self, expected: dict[str, int]) -> None:
        self.expected = expected
        self.go = threading.Semaphore(0)
        self.paused = threading.Semaphore(0)
        self.steps = 0
        self.ended = False
        self.latents: torch.Tensor | None = None
        self.image: npt.NDArray[np.uint8] | None = None
        self.error: Exception | None = None
        self._stopping = False

    def drive(self, pipeline: Any, call: dict[str, Any]) -> None:
        """On the run's thread: the whole call."""
        compute_as_usual()
        try:
            self._wait()
            with torch.inference_mode():
                image = pipeline(**call).images[0]
            self.image = np.array(image.convert("RGB"))
        except _Stopped:
            pass
        except Exception as error:  # noqa: BLE001 - raised again on the engine's thread.
            self.error = error
        finally:
            self.ended = True
            self.paused.release()

    def stepped(self, name: str, solver: Any, result: Any) -> None:
        """On the run's thread: a solver has made a step; wait to be let on."""
        self.steps += 1
        self.expected[name] = len(solver.timesteps)
        self.latents = result[0]
        self.paused.release()
        self._wait()

    def stop(self) -> None:
        self._stopping = True
        self.go.release()

    def _wait(self) -> None:
        self.go.acquire()
        if self._stopping:
            raise _Stopped


def _with_own_solvers(pipeline: Any, pace: _Pace) -> Any:
    """A second pipeline around the same weights, whose solvers are its own and report every step."""
    arguments: dict[str, Any] = {}
    for name in inspect.signature(type(pipeline).__init__).parameters:
        if name in pipeline.components:
            part = pipeline.components[name]
            arguments[name] = _paced(name, part, pace) if name.endswith("scheduler") else part
        elif name in pipeline.config:
            arguments[name] = pipeline.config[name]
    own = type(pipeline)(**arguments)
    own.set_progress_bar_config(disable=True)
    return own


def _paced(name: str, solver: Any, pace: _Pace) -> Any:
    own = copy.deepcopy(solver)
    step = own.step

    @functools.wraps(step)  # Pipelines look at the signature to see what may be passed.
    def paced(*args: Any, **options: Any) -> Any:
        result = step(*args, **options)
        pace.stepped(name, own, result)
        return result

    own.step = paced
    return own
