"""Export: the trained parts as a plain diffusers folder in half precision, with the facts a bot needs beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from diffusers import AutoencoderTiny
from transformers import CLIPTokenizer

from engine.config import EMBEDDED_UPSCALER
from engine.training.denoiser import build_noise_schedule
from engine.training.distillation import STUDENT_STEPS, FewStepsStage
from engine.training.pipeline import assemble
from engine.training.scenes.captions import vocabulary
from engine.training.upscaler import SCALE

TITLE = "Fourfold Mini"
FEW_STEPS = "few-steps.safetensors"


def export_model(
    folder: Path,
    *,
    tokenizer: Path,
    text: Any,
    vae: AutoencoderTiny,
    unet: Any,
    size: int,
    defaults: dict[str, Any],
) -> None:
    """Write model_index.json, the five parts and fourfold.json to `folder`, whose neighbour is the network that enlarges its
    pictures; what else lies there stays. `size`: pixels of a side before that.
    """
    pipe = assemble(
        CLIPTokenizer.from_pretrained(str(tokenizer)),
        text.half(),
        vae.half(),
        unet.half(),
        build_noise_schedule(),
    )
    pipe.save_pretrained(str(folder), safe_serialization=True)
    shutil.copytree(tokenizer, folder / "tokenizer", dirs_exist_ok=True)
    # transformers loads a text encoder in the type its config names, diffusers the other parts in float32.
    _edit(folder / "text_encoder" / "config.json", dtype="float32")
    tidy_tokenizer(folder / "tokenizer")
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    index.pop("_name_or_path", None)
    # Stock pipelines read over these.
    index |= {
        "_shared": {"super_resolution": EMBEDDED_UPSCALER},
        "enlarges": SCALE,
        "super_resolution": ["fourfold", "CompactUpscaler"],
    }
    write_json(folder / "model_index.json", index)
    for part in ("vae", "unet"):
        config = json.loads((folder / part / "config.json").read_text(encoding="utf-8"))
        config.pop("_name_or_path", None)
        write_json(folder / part / "config.json", config)
    facts = {
        "name": "fourfold-mini",
        "title": TITLE,
        "licence": "MIT",
        "defaults": defaults,
        "native_size": SCALE * size,
        "vocabulary": list(vocabulary()),
    }
    write_json(folder / "fourfold.json", facts)


def export_few_steps(folder: Path, stage: FewStepsStage) -> None:
    """Write the averaged adapter beside the model, and into its fourfold.json how pictures are drawn with it."""
    stage.save(folder / FEW_STEPS)
    _edit(
        folder / "fourfold.json",
        few_steps={
            "adapter": FEW_STEPS,
            "num_inference_steps": STUDENT_STEPS,
            "guidance_scale": 1.0,
            "sampler": "lcm",
        },
    )


def tidy_tokenizer(folder: Path) -> None:
    """Forget where it was loaded from."""
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    for key in ("is_local", "local_files_only", "name_or_path"):
        config.pop(key, None)
    write_json(folder / "tokenizer_config.json", config)


def _edit(file: Path, **values: object) -> None:
    write_json(file, {**json.loads(file.read_text(encoding="utf-8")), **values})


def write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
