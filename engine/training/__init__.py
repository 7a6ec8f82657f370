"""How the model that ships with Fourfold was made: `python -m engine.training`.

scenes/         the world it knows: pictures and captions        profile.py   what a run is sized by
dataset.py      renders on disk                                  tokenizer.py words → tokens
probe.py        the measuring instrument, gate (a)               autoencoder.py  gate (b)
text_encoder.py, denoiser.py   what is trained on latents        optimiser.py Muon, averages
loop.py         steps, checkpoints, curves                       checkpoint.py, charts.py, sheets.py
compute.py      where a run computes
recipe.py       the stages in order                              gates.py     floors and reports
pipeline.py     the stock pipeline around the parts              export.py, evaluate.py  gate (c)
"""
