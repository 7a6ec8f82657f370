"""How the models that ship were made: `python -m engine.training STAGE`, one stage after the other.

scenes/         the world: pictures drawn by code, and the words for them
profile.py      what a run is sized by;  compute.py: where and in what precision it computes
recipe.py       pictures, probe, CLIP, latent diffusion;  cascade.py: super-resolution and unCLIP
loop.py, stage.py, optimiser.py, checkpoint.py, charts.py, sheets.py   what every trainer stands on
probe.py        what measures;  contrastive.py: CLIP;  autoencoder.py, text_encoder.py, denoiser.py, polish.py: latent diffusion
distillation.py, low_rank.py   its few-step variant;  prior.py, decoder.py, upscaler.py: unCLIP's three stages
export*.py      the formats that ship;  drawing.py, measures.py, evaluate.py, gates.py: what the shipped weights can do
"""
