"""What the text encoder is asked, how often, and what is made of its answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from engine.errors import GenerationFailed
from engine.worker.prompts.encoder import MAX_CHUNKS, PromptEncoder, Reading
from tests.engine.bench import Bench
from tests.engine.tiny import write_tiny_model


class Counting:
    """A text encoder that counts its calls."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.calls = 0
        self.seen: list[torch.Tensor] = []

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        self.seen.append(args[0])
        return self.module(*args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)


@pytest.fixture(scope="module")
def wide_bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A model whose text encoder has CLIP's own window."""
    return Bench(write_tiny_model(tmp_path_factory.mktemp("wide"), window=77))


@pytest.fixture
def wide(wide_bench: Bench) -> PromptEncoder:
    return fresh(wide_bench.stage._prompts)


@pytest.fixture
def narrow(tiny_model: Path) -> PromptEncoder:
    return fresh(Bench(tiny_model).stage._prompts)


def fresh(prompts: PromptEncoder, **options: Any) -> PromptEncoder:
    """One that has encoded nothing yet, and counts."""
    return PromptEncoder(prompts._tokenizer, Counting(prompts._text_encoder), torch.device("cpu"), **options)


def by_hand(prompts: PromptEncoder, text: str) -> torch.Tensor:
    """(1, window, width): what diffusers' pipelines ask and get."""
    tokens = prompts._tokenizer(
        text, padding="max_length", max_length=prompts._window, truncation=True, return_tensors="pt"
    )
    return prompts._text_encoder(tokens.input_ids)[0]


@pytest.mark.parametrize("text", ["", "a red cat", "the (cat", "é ☃ \n x", "  "])
def test_a_plain_prompt_is_encoded_as_diffusers_does(wide: PromptEncoder, text: str) -> None:
    assert torch.equal(wide.encode(text), by_hand(wide, text))


def test_a_prompt_that_fills_its_window_to_the_last_token(wide: PromptEncoder) -> None:
    assert torch.equal(wide.encode("the " * 75), by_hand(wide, "the " * 75))


def test_a_narrow_encoder_reads_one_window(narrow: PromptEncoder) -> None:
    assert torch.equal(narrow.encode("the " * 50), by_hand(narrow, "the " * 50))
    assert narrow.unread_words("the " * 13 + "ab, dog!") == ("ab", "dog")
    assert narrow.unread_words("the " * 12 + "(the:1.2) (ab, dog!:0.5)") == ("ab", "dog")
    assert narrow.unread_words("the " * 14) == ()
    assert narrow.unread_words("the " * 14 + ":: the") == ()


def test_a_long_prompt_takes_several_windows(wide: PromptEncoder) -> None:
    encoded = wide.encode("the " * 75 + "cat")
    expected = torch.cat([by_hand(wide, "the " * 75), by_hand(wide, "cat")], dim=1)
    assert torch.allclose(encoded, expected, atol=1e-12), "each window has a start and an end of its own"


def test_both_prompts_end_up_equally_long(wide: PromptEncoder) -> None:
    cond, uncond = wide.encode_pair("the " * 160, "a dog", Reading())
    assert uncond is not None
    assert cond.shape == uncond.shape == (1, 3 * 77, 16)
    assert torch.equal(uncond, torch.cat([by_hand(wide, text) for text in ("a dog", "", "")], dim=1))
    cond, uncond = wide.encode_pair("a cat", "the " * 76, Reading())
    assert torch.equal(cond, torch.cat([by_hand(wide, "a cat"), by_hand(wide, "")], dim=1))
    assert wide.encode_pair("a cat", None, Reading())[1] is None


def test_four_thousand_characters_are_read(wide: PromptEncoder) -> None:
    assert wide.unread_words("a " * 2000) == ()
    assert wide.unread_words("x" * 4000) == ()
    beyond = wide.unread_words("the " * (75 * MAX_CHUNKS) + "end")
    assert beyond == ("end",)
    assert wide.encode("the " * (75 * MAX_CHUNKS + 1)).shape == (1, 77 * MAX_CHUNKS, 16)


def test_a_weight_moves_its_tokens_away_from_the_empty_prompt(wide: PromptEncoder) -> None:
    plain, empty = by_hand(wide, "the cat x"), by_hand(wide, "")
    encoded = wide.encode("the (cat:1.5) x")
    assert torch.equal(encoded[:, :2], plain[:, :2])
    assert torch.equal(encoded[:, 5:], plain[:, 5:])
    # "cat" is three tokens of this vocabulary, after the start and "the".
    assert torch.allclose(encoded[:, 2:5], empty[:, 2:5] + 1.5 * (plain[:, 2:5] - empty[:, 2:5]), atol=1e-12)
    assert torch.equal(wide.encode("the (cat:1.0) x"), plain)
    assert torch.allclose(wide.encode("(the cat x:0)")[:, 1:6], empty[:, 1:6], atol=1e-12)


def test_weights_reach_the_later_windows(wide: PromptEncoder) -> None:
    encoded = wide.encode("the " * 75 + "(x:2)")
    expected = 2 * by_hand(wide, "x")[:, 1] - by_hand(wide, "")[:, 1]
    assert torch.allclose(encoded[:, 78], expected, atol=1e-12)


def test_parts_are_averaged_by_weight(wide: PromptEncoder) -> None:
    cat, dog = by_hand(wide, "cat"), by_hand(wide, "dog")
    assert torch.allclose(wide.encode("cat:: dog::3"), 0.25 * cat + 0.75 * dog, atol=1e-12)
    assert torch.equal(wide.encode("cat::7"), cat)
    assert torch.allclose(wide.encode("cat:: dog::-.5"), 2 * cat - dog, atol=1e-12)
    assert wide.encode("cat:: " + "the " * 80).shape[1] == 2 * 77


def test_parts_that_weigh_nothing_together_are_refused(wide: PromptEncoder) -> None:
    with pytest.raises(GenerationFailed, match="above 0") as caught:
        wide.encode("cat:: dog::-1")
    assert caught.value.code == "prompt_weights_not_positive"


@pytest.mark.parametrize("prompt", ["cat::-1", "cat::0", "cat::0 dog::0", "(cat:1.2)::-3 ::9"])
def test_a_single_part_is_weighed_too(wide: PromptEncoder, prompt: str) -> None:
    with pytest.raises(GenerationFailed) as caught:
        wide.encode(prompt)
    assert caught.value.code == "prompt_weights_not_positive"


def test_parts_that_all_but_cancel_out_are_refused(wide: PromptEncoder) -> None:
    assert torch.isfinite(wide.encode("cat:: dog::-.9")).all()
    with pytest.raises(GenerationFailed, match="at most 10 times") as caught:
        wide.encode("cat:: dog::-0.9999999")
    assert caught.value.code == "prompt_weights_cancel_out"
    assert caught.value.values["maximum"] == 10


def test_parts_are_encoded_in_one_pass_and_equal_ones_once(wide: PromptEncoder) -> None:
    parts = "cat:: dog::2 cat::2 (bird:1.3):: " + "the " * 80
    together = wide.encode(parts)
    assert wide._text_encoder.calls == 2, "one, and one for the empty prompt"
    alone = fresh(wide, exact=True)
    apart = alone.encode(parts)
    assert torch.allclose(together, apart, atol=1e-12)
    assert torch.equal(wide.encode("cat::2 cat::1"), wide.encode("cat"))
    expected = sum(
        share / 7 * wide._filled(fresh(wide).encode(text), 2 * 77, Reading())
        for text, share in (("cat", 1), (" dog", 2), (" cat", 2), (" (bird:1.3)", 1), (" " + "the " * 80, 1))
    )
    assert torch.allclose(together, expected, atol=1e-12)
    one_by_one = alone._text_encoder.module.calls
    assert one_by_one > 4, "each for itself where bits count"


def test_parts_share_the_windows_of_one_prompt(wide: PromptEncoder) -> None:
    long = "the " * (75 * MAX_CHUNKS)
    assert wide.encode(f"{long}end:: cat:: {'a ' * 76}end").shape == (1, 77 * MAX_CHUNKS, 16)
    assert len(wide._text_encoder.seen[0]) == MAX_CHUNKS + 2, "each part has its first window"
    assert wide.unread_words(f"{long}end:: cat:: {'a ' * 75}last") == ("end", "last")


def test_prompts_that_come_again_are_not_encoded_again(wide: PromptEncoder) -> None:
    wide.encode_pair("a cat", "", Reading())
    assert wide._text_encoder.calls == 2
    wide.encode_pair("a cat", "", Reading())
    assert wide._text_encoder.calls == 2
    skipping, _ = wide.encode_pair("a cat", "", Reading(clip_skip=1))
    assert wide._text_encoder.calls == 3, "the negative prompt is the same as before"
    assert not torch.equal(skipping, wide.encode("a cat"))


def test_what_is_remembered_is_bounded_in_bytes(wide: PromptEncoder) -> None:
    one = wide.encode("a cat").nbytes
    prompts = fresh(wide, cache_bytes=2 * one)
    for text in ("a", "b", "a", "c"):
        prompts.encode(text)
    calls = prompts._text_encoder.module.calls
    prompts.encode("a")
    assert prompts._text_encoder.module.calls == calls, "the one that was used last is still there"
    prompts.encode("b")
    assert prompts._text_encoder.module.calls == calls + 1
    assert prompts._encoded.nbytes <= 2 * one


def test_more_layers_than_there_are_cannot_be_skipped(wide: PromptEncoder) -> None:
    with pytest.raises(GenerationFailed, match="at most 2"):
        wide.encode("a cat", Reading(clip_skip=3))
