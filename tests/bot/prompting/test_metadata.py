"""The `parameters` text of pictures."""

from __future__ import annotations

from dataclasses import replace

from bot.domain import Parameters
from bot.prompting import generation_text, sampling_for
from tests.bot.examples import MODEL


def test_the_text_has_the_parts_that_other_tools_read() -> None:
    sampling = sampling_for(Parameters(no=("dogs", "text")), MODEL)
    text = generation_text("a cat\non a mat", sampling, seed=7, model="test", model_hash="0123456789")
    assert text == (
        "a cat\non a mat\n"
        "Negative prompt: dogs, text\n"
        "Steps: 20, Sampler: DDIM, CFG scale: 7.5, Seed: 7, Size: 512x512, "
        "Model hash: 0123456789, Model: test"
    )


def test_a_variation_names_its_strength_and_odd_names_are_quoted() -> None:
    sampling = replace(sampling_for(Parameters(), MODEL), strength=0.8)
    text = generation_text("a cat", sampling, seed=7, model='C:\\models, "old"', model_hash="")
    assert "Negative prompt" not in text
    assert text.endswith('Model: "C:\\\\models, \\"old\\"", Denoising strength: 0.8')
    assert "Model hash" not in text
