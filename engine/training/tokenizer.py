"""A CLIP tokenizer whose words are the captions' words; anything else falls apart into bytes, as in CLIP."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer

from engine.training.scenes.captions import vocabulary

START, END = "<|startoftext|>", "<|endoftext|>"


def build_tokenizer(folder: Path, length: int) -> CLIPTokenizer:
    """Write vocab.json, merges.txt and tokenizer.json to `folder`; every vocabulary word becomes one token.

    All 256 byte symbols are tokens, alone and at a word's end, so that an accent or an emoji is read as itself
    and not as the end of the text.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # CLIP's own pre-tokenizer cuts numbers into digits and words at hyphens.
    words = sorted({part for word in vocabulary() for part in word.split("-")})
    merges = _merges(words)
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*symbols, *(s + "</w>" for s in symbols)]
    known = set(tokens)
    for left, right in merges:
        if left + right not in known:
            known.add(left + right)
            tokens.append(left + right)
    tokens += [START, END]
    vocab = {token: i for i, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": length,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": END,
        "do_lower_case": True,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    (folder / "tokenizer.json").unlink(missing_ok=True)
    tokenizer = CLIPTokenizer.from_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    for name, text in (
        ("vocab.json", json.dumps(vocab, ensure_ascii=False)),
        ("merges.txt", "\n".join(lines) + "\n"),
    ):
        # transformers 5 saves tokenizer.json alone; older readers want the classic pair (the same ids).
        (folder / name).write_text(text, encoding="utf-8")
    return CLIPTokenizer.from_pretrained(str(folder))


def _merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte-pair merges (Sennrich et al. 2016) until each of `words`, plain lower-case ASCII, is one token.

    Of pairs that are equally frequent the first in the alphabet goes first. The tokenizers library's own trainer leaves
    that to the order of a hash table, so that every run would read in other tokens.
    """
    spelt = [[*word[:-1], word[-1] + "</w>"] for word in words]
    merges: list[tuple[str, str]] = []
    while counts := Counter(pair for pieces in spelt for pair in pairwise(pieces)):
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        for pieces in spelt:
            i = 0
            while i < len(pieces) - 1:
                if (pieces[i], pieces[i + 1]) == best:
                    pieces[i : i + 2] = ["".join(best)]
                i += 1
    return merges
