"""The device plane: the only part of the engine that touches tensors.

worker          what the executor calls         model_runner   anything on the device happens here
residency       which models are loaded         loader         how they get here: folder, single file, hub
footprint       the bytes that they take        offload        weights that come when they are needed
background      loading gives way to steps      load_errors    what is wrong with a model's files
components      the parts of a folder           single_file    a model in one file
part_weights    whole or refused                own_memory     no longer views of files
parts_fit       one model, not two              ladder         when memory runs out, and whose failure it is
second_try      once more in float32            step_timer     how long steps take
compiled        torch.compile, meanwhile eager  row_buckets    steps of a few widths
interface       what a family offers            registry       which file holds which family
request_state   what a request is while it runs
samplers        schedules and noise solvers     vector_samplers  the common ones, over rows
flow_match      the same for flow matching      ddpm_sampler   variances that models tell
prior           from texts to image embeddings  unclip_sampler  its noise solver
previews        thumbnails of what is not done  safety_checker   the checkpoint's own filter
prompts/        from text to vectors            lora/          what LoRAs add, per row
autoencoder     pixels and latents              autoencoder_store  those that requests name
file_cache      what was read of files lately   movq           Kandinsky's autoencoder
kandinsky_picture  what its decoder begins with
seamless        edges that fit together         hires          large pictures in two passes
super_resolution  pictures enlarged in tiles    upscalers      where the networks for it come from
inpainting      masks and what they keep        initial_picture  what requests begin with
prepared_weights  how long what requests name stays
models/         families, one self-contained file each
"""

from __future__ import annotations

from transformers.utils import logging as transformers_logging

# Before anything else of theirs is imported: that torchvision is missing, as it should be, is no news to a host.
transformers_logging.set_verbosity_error()
