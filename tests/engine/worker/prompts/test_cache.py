"""What prompts say is kept in so many bytes, and none of them on a graphics card."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from engine.worker.prompts.cache import PromptCache

CPU = torch.device("cpu")


def test_a_prompt_comes_back_as_it_was() -> None:
    cache = PromptCache(CPU)
    sequence, pooled = torch.randn(1, 7, 3, dtype=torch.bfloat16), torch.randn(1, 3)
    cache.put("a cat", sequence, pooled)
    known = cache.get("a cat")
    assert known is not None
    assert all(map(torch.equal, known, (sequence, pooled)))
    assert cache.get("a dog") is None


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 12)), max_size=30),
)
def test_never_more_than_its_bytes_and_the_longest_unused_goes_first(
    asked: list[tuple[str, int]],
) -> None:
    cache = PromptCache(CPU, max_bytes=40)
    known: dict[str, int] = {}
    for name, numbers in asked:
        assert (cache.get(name) is not None) == (name in known)
        cache.put(name, torch.zeros(numbers))
        known.pop(name, None)
        known[name] = numbers
        while sum(known.values()) > 10:
            del known[next(iter(known))]
        assert cache.nbytes == 4 * sum(known.values()) <= 40
        assert len(cache) == len(known)


def test_a_part_of_a_batch_does_not_keep_the_rest() -> None:
    cache = PromptCache(CPU)
    cache.put("a cat", torch.randn(8, 4, 4)[2:3])
    (kept,) = cache.get("a cat") or ()
    assert kept.untyped_storage().nbytes() == kept.nbytes == cache.nbytes


def test_none_of_it_stays_on_a_graphics_card() -> None:
    with FakeTensorMode():
        cache = PromptCache(torch.device("cuda:0"))
        cache.put("a cat", torch.zeros(1, 7, 3, device="cuda:0"))
        assert {tensor.device.type for kept in cache._kept.values() for tensor in kept} == {"cpu"}
        (known,) = cache.get("a cat") or ()
        assert known.device.type == "cuda"
