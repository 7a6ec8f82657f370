"""Print what a load in the background costs the steps of others: `python -m tests.benchmarks.bench_loading [MODEL]`.

A saturated engine on the embedded model, once undisturbed and once while another model loads. Without MODEL: random
weights in the architecture of Stable Diffusion 1.x, which are written to a temporary folder first (1.7 GB in half
precision; `--small`: a tenth of that).
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import diffusers
import torch
import transformers

from engine import EMBEDDED_MODEL, EngineConfig, GenerateRequest, SamplingParams
from engine.catalog import read_model
from engine.core import EngineCore
from engine.executor import DirectExecutor, Loaded
from engine.worker.worker import Worker

_VOCABULARY = 49408
_STEPS = 20
"""Of every picture: steps of one kind come round after so many."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--small", action="store_true", help="a tenth of Stable Diffusion")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument(
        "--seconds", type=float, default=15.0, help="how long the undisturbed engine is watched"
    )
    parser.add_argument("--warm", action="store_true", help="the libraries have loaded such a model before")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        other = args.model or str(_write(Path(folder) / "other", small=args.small))
        _report(_measure(other, args.dtype, args.seconds, warm=args.warm))


def _report(measured: tuple[list[float], list[float], float]) -> None:
    alone, beside, loading = measured
    # A step that encodes or decodes takes longer than one between; each is compared with its like.
    usual = {kind: statistics.median(alone[kind::_STEPS]) for kind in range(_STEPS)}
    sys.stdout.write(
        f"the load took {loading:.1f} s; a step alone takes {1000 * statistics.median(alone):.1f} ms (median)\n"
        "milliseconds by which a step took longer than its like does alone:\n"
        "               steps  median    p99  longest\n"
    )
    for name, steps in (("alone", alone), ("while loading", beside)):
        delays = sorted(1000 * (seconds - usual[index % _STEPS]) for index, seconds in enumerate(steps))
        p99 = delays[min(len(delays) - 1, int(0.99 * len(delays)))]
        sys.stdout.write(
            f"{name:13s}  {len(steps):5d}  {statistics.median(delays):6.1f}  {p99:5.1f}  {delays[-1]:7.1f}\n"
        )


def _measure(other: str, dtype: str, seconds: float, *, warm: bool) -> tuple[list[float], list[float], float]:
    """Seconds from the end of a step to the end of the next, alone and while the other model loads; and of the load."""
    config = EngineConfig(
        models=(EMBEDDED_MODEL, other),
        device="cpu",
        dtype=dtype,
        offline=True,
        row_budget=8,  # One grid: the next one starts when it is through.
        preview_interval=1e9,
    )
    events: SimpleQueue[Any] = SimpleQueue()
    infos = {name: read_model(name, config) for name in config.models}
    worker = Worker(config)
    core = EngineCore(DirectExecutor(lambda: worker), infos, config, events.put)
    embedded = infos[EMBEDDED_MODEL]
    count = itertools.count()

    def step() -> None:
        while len(core.scheduler) < 4:
            params = SamplingParams(
                num_inference_steps=_STEPS,
                guidance_scale=embedded.default_guidance_scale,
                sampler=embedded.default_sampler,
                width=embedded.native_width,
                height=embedded.native_height,
            )
            core.add(
                GenerateRequest(
                    request_id=str(next(count)),
                    model=EMBEDDED_MODEL,
                    prompt="a lighthouse",
                    params=params,
                    seeds=(1, 2, 3, 4),
                )
            )
        core.step()

    def take(event: Any) -> bool:
        core.on_load(event)
        if isinstance(event, Loaded):
            assert event.error is None, event.error
        return isinstance(event, Loaded)

    core.load(EMBEDDED_MODEL)
    while not take(events.get()):
        core.step()
    if warm:
        core.load(other)
        while not take(events.get()):
            core.step()
        core.scheduler.ready.discard(other)
        core._placement.residents.leave(other)
        worker.evict(other)
    for _ in range(_STEPS):
        step()
    alone = _until(step, lambda started: time.perf_counter() - started > seconds, core)
    core.load(other)
    loaded = False

    def arrived(started: float) -> bool:
        nonlocal loaded
        try:
            while not loaded:
                loaded = take(events.get_nowait())
        except Empty:
            pass
        return loaded

    started = time.perf_counter()
    beside = _until(step, arrived, core)
    return alone, beside, time.perf_counter() - started


def _until(step: Callable[[], None], ended: Callable[[float], bool], core: EngineCore) -> list[float]:
    """Seconds of each step from a grid's first one on, until it has ended and the grid is done."""
    before = set(core.request_ids)
    while before <= set(core.request_ids):
        step()
    started = last = time.perf_counter()
    taken: list[float] = []
    while not (ended(started) and len(taken) % _STEPS == 0):
        step()
        now = time.perf_counter()
        taken.append(now - last)
        last = now
    return taken


def _write(folder: Path, *, small: bool) -> Path:
    """Weights of no meaning, in the right places and numbers."""
    width = 96 if small else 320
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel(
            block_out_channels=(width, 2 * width, 4 * width, 4 * width),
            cross_attention_dim=768,
            attention_head_dim=8,
            sample_size=64,
        )
        vae = diffusers.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=4,
            sample_size=512,
        )
        text_encoder = transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                vocab_size=_VOCABULARY, hidden_size=768, intermediate_size=3072, num_attention_heads=12
            )
        )
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir(parents=True)
    _write_vocabulary(tokenizer)
    for module in (unet, vae, text_encoder):
        module.to_empty(device="cpu").half()
        with torch.no_grad():
            for weight in module.parameters():
                weight.zero_()
    diffusers.StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=transformers.CLIPTokenizer(
            str(tokenizer / "vocab.json"), str(tokenizer / "merges.txt"), model_max_length=77
        ),
        unet=unet,
        scheduler=diffusers.DDIMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def _write_vocabulary(folder: Path) -> None:
    """As many words and merges as CLIP has."""
    letters = [chr(code) for code in range(97, 123)]
    pieces = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    merges: list[tuple[str, str]] = []
    known = set(pieces)
    for length in (2, 3, 4):
        for word in itertools.product(letters, repeat=length):
            if len(pieces) >= _VOCABULARY:
                break
            left, right = "".join(word[:-1]), word[-1]
            if left + right not in known:
                known.add(left + right)
                merges.append((left, right))
                pieces.append(left + right)
    (folder / "vocab.json").write_text(json.dumps({piece: index for index, piece in enumerate(pieces)}))
    lines = [f"{left} {right}" for left, right in merges]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *lines, ""]))


if __name__ == "__main__":
    main()
