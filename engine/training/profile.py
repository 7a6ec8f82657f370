"""What a training run is sized by. `cpu` is what shipped; `gpu` is the same recipe for a data-centre GPU."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """Sizes are pixels, widths are channels; a bucket is (width, height, number of pictures)."""

    name: str
    # where it computes; what else the rest of the recipe needs to know of the device stands here too
    device: str
    autocast: str  # a torch dtype
    channels_last: bool
    pin_memory: bool  # copies to a device of its own need not wait then
    compile: bool
    plain_attention: bool
    # pictures
    native_size: int
    buckets: tuple[tuple[int, int, int], ...]
    probe_buckets: tuple[tuple[int, int, int], ...]
    test_pictures: int
    # probe
    probe_widths: tuple[int, ...]
    probe_steps: int
    probe_batch: int
    # CLIP: square pictures of `clip_side`; towers and embeddings of `clip_width`, which the decoder wants equal
    clip_side: int
    clip_width: int
    clip_image_layers: int
    clip_text_layers: int
    clip_steps: int
    clip_batch: int
    # autoencoder: f = 2 ** (levels - 1)
    vae_widths: tuple[int, ...]
    vae_encoder_blocks: tuple[int, ...]
    vae_decoder_blocks: tuple[int, ...]
    latent_channels: int
    vae_steps: int
    vae_batch: int
    # denoiser, which is told captions by CLIP's text tower
    text_length: int
    unet_widths: tuple[int, ...]
    unet_layers: int
    unet_steps: int
    unet_batch: int
    latent_share: float  # how much of the training pictures is encoded for the denoiser
    polish_pictures: int
    polish_steps: int
    polish_batch: int
    few_steps_rank: int
    few_steps_steps: int
    few_steps_batch: int
    bucket_share: float  # of the batches that are not square
    # unCLIP: a prior over embeddings, a decoder of pixels at half the native size, a network that enlarges four times
    prior_layers: int
    prior_steps: int
    prior_batch: int
    decoder_steps: int
    decoder_batch: int
    upscaler_pictures: int
    upscaler_width: int
    upscaler_depth: int
    upscaler_crop: int
    upscaler_steps: int
    upscaler_batch: int
    workers: int

    @property
    def factor(self) -> int:
        """Picture pixels per latent pixel."""
        return 2 ** (len(self.vae_widths) - 1)


CPU = Profile(
    name="cpu",
    device="cpu",
    autocast="bfloat16",
    channels_last=True,
    pin_memory=False,
    compile=False,
    # The fused attention's backward takes four times as long there as plain matrix products at 64 positions.
    plain_attention=True,
    native_size=128,
    buckets=((128, 128, 36_000), (160, 96, 6_000), (96, 160, 6_000)),
    probe_buckets=((128, 128, 28_000), (160, 96, 1_200), (96, 160, 1_200)),
    test_pictures=2_000,
    probe_widths=(56, 88, 144, 168),
    probe_steps=5_000,
    probe_batch=64,
    clip_side=128,
    clip_width=128,
    clip_image_layers=4,
    clip_text_layers=3,
    clip_steps=3_300,
    clip_batch=128,
    vae_widths=(64, 64, 64, 64),
    vae_encoder_blocks=(0, 1, 2, 3),
    vae_decoder_blocks=(3, 3, 2, 0),
    latent_channels=16,
    vae_steps=4_000,
    vae_batch=16,
    text_length=40,
    unet_widths=(96, 192),
    unet_layers=1,
    unet_steps=7_000,
    unet_batch=48,
    latent_share=0.7,
    polish_pictures=1_600,
    polish_steps=320,
    polish_batch=5,
    few_steps_rank=24,
    few_steps_steps=2_100,
    few_steps_batch=24,
    bucket_share=0.25,
    prior_layers=6,
    prior_steps=4_000,
    prior_batch=256,
    decoder_steps=2_600,
    decoder_batch=48,
    upscaler_pictures=3_000,
    upscaler_width=48,
    upscaler_depth=12,
    upscaler_crop=96,
    upscaler_steps=2_400,
    upscaler_batch=24,
    workers=2,
)

GPU = Profile(
    name="gpu",
    device="cuda",
    autocast="bfloat16",
    channels_last=True,
    pin_memory=True,
    # Compiling needs Triton and has not been measured: `--compile` turns it on.
    compile=False,
    plain_attention=False,
    native_size=256,
    buckets=((256, 256, 160_000), (320, 192, 30_000), (192, 320, 30_000)),
    probe_buckets=((256, 256, 30_000), (320, 192, 2_000), (192, 320, 2_000)),
    test_pictures=2_000,
    probe_widths=(40, 80, 128, 128, 192),
    probe_steps=4_000,
    probe_batch=128,
    clip_side=256,
    clip_width=256,
    clip_image_layers=6,
    clip_text_layers=4,
    clip_steps=12_000,
    clip_batch=512,
    vae_widths=(64, 64, 64, 64),
    vae_encoder_blocks=(1, 3, 3, 3),
    vae_decoder_blocks=(3, 3, 3, 1),
    latent_channels=16,
    vae_steps=40_000,
    vae_batch=32,
    text_length=40,
    unet_widths=(160, 320),
    unet_layers=2,
    unet_steps=60_000,
    unet_batch=256,
    latent_share=1.0,
    polish_pictures=20_000,
    polish_steps=4_000,
    polish_batch=32,
    few_steps_rank=64,
    few_steps_steps=8_000,
    few_steps_batch=128,
    bucket_share=0.25,
    prior_layers=10,
    prior_steps=40_000,
    prior_batch=1_024,
    decoder_steps=60_000,
    decoder_batch=256,
    upscaler_pictures=20_000,
    upscaler_width=64,
    upscaler_depth=16,
    upscaler_crop=192,
    upscaler_steps=30_000,
    upscaler_batch=64,
    workers=16,
)

PROFILES = {profile.name: profile for profile in (CPU, GPU)}
