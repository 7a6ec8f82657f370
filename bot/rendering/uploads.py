"""Pictures that people send, which may be anything: read within bounds, or refused."""

from __future__ import annotations

import io
import warnings

from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP")
MOST_PIXELS = 50_000_000
"""Of a picture that is opened; told from its header, before any of it is unpacked."""
SIDE = 512
"""Of what is kept: a model that compares pictures looks at less."""


def small_png(data: bytes) -> bytes:
    """The picture as an upright RGB PNG of at most 512 px on its longer side; its first frame where it moves.

    Raises:
        ValueError: it cannot be read, or has too many pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(f"{image.width} × {image.height} pixels")
        # JPEGs are unpacked at the size that is needed.
        image.draft("RGB", (SIDE, SIDE))
        upright = ImageOps.exif_transpose(image)
        upright.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        upright.convert("RGB").save(out, "PNG")
    except (OSError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(str(error)) from error
    return out.getvalue()
