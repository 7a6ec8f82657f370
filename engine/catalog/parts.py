"""What diffusers calls the parts of a model: the folders beside model_index.json."""

from __future__ import annotations

WEIGHTED = (
    *(
        "text_encoder",
        "text_encoder_2",
        "unet",
        "transformer",
        "vae",
        "safety_checker",
        "text_encoder_3",
        "movq",
    ),
    *("prior_prior", "prior_image_encoder", "prior_text_encoder"),
    *("prior", "decoder", "text_proj", "image_encoder", "image_normalizer"),
    *("super_res_first", "super_res_last", "super_resolution", "embedding_space", "clip"),
)
"""Those that have weights."""

CONFIGURED = (
    *("tokenizer", "tokenizer_2", "tokenizer_3", "scheduler", "feature_extractor"),
    *("prior_tokenizer", "prior_scheduler", "prior_image_processor"),
    *("decoder_scheduler", "super_res_scheduler", "image_noising_scheduler"),
)
"""Those that have none."""

PARTS = (*CONFIGURED, *WEIGHTED)
