"""What is trained is what the engine runs: the same words read, the same folder loaded, a picture at the end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPModel, CLIPTextModelWithProjection, CLIPTokenizer

from engine.training.autoencoder import build_autoencoder
from engine.training.compute import Compute
from engine.training.contrastive import build_clip, embed_pictures, embed_texts, retrieval
from engine.training.decoder import Decoder
from engine.training.denoiser import build_unet
from engine.training.drawing import Sampling, artist, shrunk
from engine.training.export import export_model
from engine.training.export_clip import export_clip
from engine.training.export_unclip import export_unclip
from engine.training.loop import Draws
from engine.training.measures import frechet_distance, sharpness, spread
from engine.training.prior import EmbeddedSet, PriorStage, build_prior, build_prior_schedule, read_captions
from engine.training.text_encoder import build_text_encoder
from engine.training.tokenizer import build_tokenizer
from engine.training.upscaler import build_upscaler, degraded, enlarge, gain, lanczos, psnr, save_upscaler
from engine.worker.embedding_space import EmbeddingSpace
from engine.worker.prior import drawn_embedding, read_sentence
from engine.worker.super_resolution import CompactUpscaler
from tests.engine.training.toys import TOY, toy_scenes

COMPUTE = Compute.of(TOY)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> tuple[CLIPTokenizer, Path]:
    folder = tmp_path_factory.mktemp("tokenizer")
    return build_tokenizer(folder, TOY.text_length), folder


@pytest.fixture(scope="module")
def clip(tokenizer: tuple[CLIPTokenizer, Path]) -> CLIPModel:
    torch.manual_seed(0)
    return build_clip(TOY, tokenizer[0]).eval()


def test_captions_are_read_as_the_engine_reads_them(
    clip: CLIPModel, tokenizer: tuple[CLIPTokenizer, Path], tmp_path: Path
) -> None:
    export_clip(tmp_path, clip.float(), tokenizer[1])
    again = CLIPModel.from_pretrained(tmp_path).eval()
    texts = CLIPTextModelWithProjection.from_pretrained(tmp_path).eval()
    for caption in ("", "a red cat and a blue house, watercolor", "a red cat " * 30):
        told = read_captions(again, tokenizer[0], [caption], TOY.text_length, COMPUTE)
        with torch.no_grad():
            sentence = read_sentence(tokenizer[0], texts, caption, torch.device(TOY.device))
        assert torch.equal(told.mask, sentence.mask)
        assert torch.allclose(told.embedding, sentence.embedding, atol=1e-5)
        assert torch.allclose(told.words, sentence.words, atol=1e-5)


async def test_an_exported_cascade_draws_in_the_engine(
    clip: CLIPModel, tokenizer: tuple[CLIPTokenizer, Path], tmp_path: Path
) -> None:
    torch.manual_seed(1)
    space = EmbeddingSpace.of(torch.randn(100, TOY.clip_width), 0.9)
    export_clip(tmp_path / "clip", clip, tokenizer[1])
    save_upscaler(build_upscaler(TOY), tmp_path / "upscaler")
    export_unclip(
        tmp_path / "fourfold-unclip",
        tokenizer=tokenizer[1],
        processor=tmp_path / "clip",
        prior=build_prior(TOY, space),
        schedule=build_prior_schedule(5.0),
        space=space,
        decoder=Decoder(TOY),
        defaults=Sampling("ddim", 3, 2.0).defaults(),
    )
    async with artist(str(tmp_path / "fourfold-unclip"), Sampling()) as painter:
        assert painter.params.num_inference_steps == 3
        side = painter.info.native_width
        assert side == 16 * TOY.native_size // 2
        first, second, again = await painter.draw(["a red cat", "a blue house", "a red cat"], [1, 2, 1])
    assert first.shape == (side, side, 3)
    assert np.abs(first.astype(int) - again).max() <= 1
    assert not np.array_equal(first, second)
    assert shrunk(first, 64).shape == (64, 64, 3)


async def test_an_exported_model_is_enlarged_in_the_engine_and_read_by_stock_diffusers(
    tokenizer: tuple[CLIPTokenizer, Path], tmp_path: Path
) -> None:
    torch.manual_seed(3)
    save_upscaler(build_upscaler(TOY), tmp_path / "upscaler")
    export_model(
        tmp_path / "fourfold-mini",
        tokenizer=tokenizer[1],
        text=build_text_encoder(TOY, tokenizer[0]),
        vae=build_autoencoder(TOY),
        unet=build_unet(TOY),
        size=TOY.native_size,
        defaults=Sampling("ddim", 3, 2.0).defaults(),
    )
    async with artist(str(tmp_path / "fourfold-mini"), Sampling()) as painter:
        side = 4 * TOY.native_size
        assert (painter.info.native_width, painter.info.enlarges) == (side, 4)
        (picture,) = await painter.draw(["a red cat"], [1])
    assert picture.shape == (side, side, 3)
    pipe = StableDiffusionPipeline.from_pretrained(str(tmp_path / "fourfold-mini"), local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    made = pipe("a red cat", num_inference_steps=2, height=TOY.native_size, width=TOY.native_size).images[0]
    assert made.size == (TOY.native_size, TOY.native_size)


def test_a_decoder_begins_with_what_the_denoiser_knows() -> None:
    torch.manual_seed(4)
    denoiser = build_unet(TOY).state_dict()
    own = Decoder(TOY, denoiser).unet.state_dict()
    shared = [name for name in own if name in denoiser and not name.startswith(("conv_in.", "conv_out."))]
    assert all(torch.equal(own[name], denoiser[name]) for name in shared)
    assert len(shared) > 0.9 * len(own)
    assert own["conv_in.weight"].shape[1] == 3 * 4**2, "what is one place to it are pixels, not latents"


def test_what_a_prior_draws_is_a_coordinate_before_training_and_after(
    clip: CLIPModel, tokenizer: tuple[CLIPTokenizer, Path]
) -> None:
    torch.manual_seed(2)
    embedded = EmbeddedSet(toy_scenes(8), torch.randn(8, TOY.clip_width))
    space = EmbeddingSpace.of(embedded.embeddings, 0.9)
    stage = PriorStage(TOY, COMPUTE, embedded, space, clip.float(), tokenizer[0])
    drawn = torch.randn(3, space.width)
    for _ in range(2):
        assert torch.equal(drawn_embedding(stage.averaged(), drawn), drawn)
        for index in range(3):
            stage.step(index, index / 3, Draws(0, index))


def test_a_few_step_variant_that_is_not_there_is_said(tmp_path: Path) -> None:
    class Nothing:
        title, few_steps = "Nothing", None

    from engine.training.drawing import Artist

    with pytest.raises(ValueError, match="no few-step variant"):
        Artist(None, Nothing(), Sampling(few_steps=True))  # type: ignore[arg-type]  # neither is looked at further


def test_retrieval_counts_what_is_nearest() -> None:
    rows = torch.eye(8)
    assert retrieval(rows, rows, 4) == {"text_of_picture": 1.0, "picture_of_text": 1.0}
    assert retrieval(rows, rows.roll(1, 0), 4)["text_of_picture"] < 0.5


def test_embeddings_do_not_hang_on_the_batch(clip: CLIPModel, tokenizer: tuple[CLIPTokenizer, Path]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    whole, parts = (embed_pictures(clip.float(), pixels, COMPUTE, batch=size) for size in (5, 2))
    assert torch.allclose(whole, parts, atol=1e-5)
    texts = ["a cat", "a red cat in the city at night", "two dogs"]
    whole, parts = (embed_texts(clip, tokenizer[0], texts, COMPUTE, batch=size) for size in (3, 1))
    assert torch.allclose(whole, parts, atol=1e-5)


def test_small_pictures_come_to_be_in_many_ways() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    made = [degraded(picture, np.random.default_rng(seed)) for seed in range(20)]
    assert {each.shape for each in made} == {(16, 16, 3)}
    assert len({each.tobytes() for each in made}) > 6
    assert np.array_equal(made[3], degraded(picture, np.random.default_rng(3)))


def test_gain_is_beside_lanczos(tmp_path: Path) -> None:
    save_upscaler(build_upscaler(TOY), tmp_path)
    network = CompactUpscaler.load(tmp_path)
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    found = gain(network, [picture])
    assert found["gain"] == pytest.approx(found["network"] - found["lanczos"])
    small = picture[::4, ::4]
    assert enlarge(network, small).shape == lanczos(small).shape == picture.shape
    assert psnr(picture, picture) > 100 > psnr(picture, 255 - picture)


def test_distances_of_sets() -> None:
    numbers = np.random.default_rng(0)
    some, others = numbers.standard_normal((2, 400, 6))
    assert frechet_distance(some, some) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(some, others) < 0.3 < frechet_distance(some, others + 1)
    flat, noisy = np.full((16, 16, 3), 90, np.uint8), numbers.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert sharpness([flat]) == 0 < sharpness([noisy])
    assert spread([flat, flat]) == 0 < spread([flat, noisy])
