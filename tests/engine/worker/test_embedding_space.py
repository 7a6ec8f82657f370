"""Principal components: nothing is lost that was to be kept, and what is saved is what was found."""

from __future__ import annotations

from pathlib import Path

import torch

from engine.worker.embedding_space import EmbeddingSpace


def embeddings_of_rank(rank: int, width: int = 12, count: int = 400) -> torch.Tensor:
    numbers = torch.Generator().manual_seed(0)
    return torch.randn(count, rank, generator=numbers) @ torch.randn(rank, width, generator=numbers) + 3.0


def test_flat_axes_are_left_out_and_nothing_is_lost() -> None:
    embeddings = embeddings_of_rank(4)
    space = EmbeddingSpace.of(embeddings, explained=0.9999)
    assert space.width == 4
    torch.testing.assert_close(
        space.embeddings(space.coordinates(embeddings)), embeddings, atol=1e-4, rtol=1e-4
    )


def test_the_share_that_is_explained_decides() -> None:
    embeddings = embeddings_of_rank(8)
    few, many = (EmbeddingSpace.of(embeddings, share) for share in (0.5, 0.99))
    assert few.width < many.width
    centred = embeddings - embeddings.mean(0)
    for space, share in ((few, 0.5), (many, 0.99)):
        left = embeddings - space.embeddings(space.coordinates(embeddings))
        assert float(left.square().sum() / centred.square().sum()) <= 1 - share + 1e-4


def test_coordinates_have_unit_variance_and_keep_their_order() -> None:
    coordinates = EmbeddingSpace.of(embeddings_of_rank(6), 0.999).coordinates(embeddings_of_rank(6))
    spread = coordinates.var(0)
    torch.testing.assert_close(spread.mean(), torch.tensor(1.0), atol=1e-3, rtol=0)
    assert torch.equal(spread, spread.sort(descending=True).values)


def test_a_saved_space_comes_back(tmp_path: Path) -> None:
    space = EmbeddingSpace.of(embeddings_of_rank(3), 0.99)
    space.save(tmp_path / "space")
    again = EmbeddingSpace.load(tmp_path / "space")
    for name in ("mean", "components", "scale"):
        assert torch.equal(getattr(space, name), getattr(again, name))
