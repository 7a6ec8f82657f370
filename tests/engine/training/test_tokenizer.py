"""The tokenizer: one token per known word, bytes for the rest, the same ids from the classic files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.training.scenes.captions import vocabulary
from engine.training.tokenizer import build_tokenizer

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tokenizer")


@pytest.fixture(scope="module")
def tokenizer(folder):
    return build_tokenizer(folder, 32)


def test_every_plain_word_is_one_token(tokenizer):
    for word in vocabulary():
        if "-" not in word:
            assert len(tokenizer(word).input_ids) == 3, word


def test_unknown_signs_are_not_the_end_of_text(tokenizer):
    ids = tokenizer("café 🐉 Ünïcode").input_ids
    assert ids.count(tokenizer.eos_token_id) == 1


def test_classic_files_give_the_same_ids(tokenizer, folder, tmp_path):
    from transformers import CLIPTokenizer

    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    text = "A red sailboat on a calm sea at sunset, watercolor! naïve 8-bit"
    assert CLIPTokenizer.from_pretrained(str(tmp_path))(text).input_ids == tokenizer(text).input_ids


def test_another_run_reads_the_same_tokens(folder, tokenizer, tmp_path):
    """In another process too, where tables are hashed another way."""
    build = "import sys, pathlib; from engine.training.tokenizer import build_tokenizer as build"
    build += "; build(pathlib.Path(sys.argv[1]), 32)"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], check=True, capture_output=True, cwd=ROOT)
    for name in ("vocab.json", "merges.txt"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
