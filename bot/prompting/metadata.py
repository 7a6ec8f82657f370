"""The text that pictures carry about how they were made, in the form of A1111's web UI that many tools read.

Its three parts: the prompt's lines, `Negative prompt: …`, and one line of `Key: value` pairs.
"""

from __future__ import annotations

from pathlib import PurePath

from bot.domain import Job, StoredImage
from engine import ModelInfo, SamplingParams

SAMPLER_NAMES = {
    "ddim": "DDIM",
    "euler": "Euler",
    "euler_a": "Euler a",
    "dpmpp_2m_karras": "DPM++ 2M Karras",
    "unipc": "UniPC",
    "lcm": "LCM",
}


def a1111_parameters(job: Job, image: StoredImage, model: ModelInfo | None) -> str:
    """The text for one picture of a job (of a grid: its first); `model` is None when it is gone."""
    return generation_text(
        job.prompt, job.sampling, seed=image.seed, model=job.model, model_hash=model.hash if model else ""
    )


def generation_text(prompt: str, sampling: SamplingParams, *, seed: int, model: str, model_hash: str) -> str:
    """The same without a job."""
    pairs = {
        "Steps": str(sampling.num_inference_steps),
        "Sampler": SAMPLER_NAMES.get(sampling.sampler, sampling.sampler),
        "CFG scale": f"{sampling.guidance_scale:g}",
        "Seed": str(seed),
        "Size": f"{sampling.width}x{sampling.height}",
        "Model hash": model_hash,
        "Model": model_label(model),
    }
    if sampling.strength < 1:
        pairs["Denoising strength"] = f"{sampling.strength:g}"
    negative = [f"Negative prompt: {sampling.negative_prompt}"] if sampling.negative_prompt else []
    last = ", ".join(f"{key}: {_quoted(value)}" for key, value in pairs.items() if value)
    return "\n".join([prompt, *negative, last])


def model_label(name: str) -> str:
    """What a model is called where others read it: a file's or folder's own name, never the host's path to it."""
    return PurePath(name).name.removesuffix(".safetensors")


def _quoted(value: str) -> str:
    """Values with a comma, a colon or a line break stand in double quotes."""
    if any(char in value for char in ',:\n"'):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return value
