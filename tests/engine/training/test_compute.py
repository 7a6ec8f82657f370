"""The recipe computes wherever its profile says: nothing but the profile names a device, and no tensor stays behind."""

from __future__ import annotations

import ast
import dataclasses
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import backend_registration
from torch.utils._pytree import tree_leaves
from transformers import CLIPTokenizer

from engine.training.__main__ import main
from engine.training.compute import Compute, DeviceMissingError
from engine.training.dataset import Pictures
from engine.training.loop import Draws, train
from engine.training.profile import CPU, GPU
from engine.training.recipe import Recipe
from engine.training.tokenizer import build_tokenizer
from tests.engine.training.toys import TOY, stages, toy_scenes

NAMES = [
    "probe",
    "clip",
    "autoencoder",
    "denoiser",
    "upscaler",
    "prior",
    "decoder",
    "few-steps",
    "polish",
]
TRAINING = Path(__file__).parents[3] / "engine" / "training"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    return build_tokenizer(tmp_path_factory.mktemp("tokenizer"), TOY.text_length)


class Elsewhere(Compute):
    """A device of its own that is only pretended: its tensors are fake ones."""

    def place(self, module: Any, *, convolutional: bool = False) -> Any:
        # Module.to cannot swap fake parameters; this does the same by hand.
        for part in module.modules():
            for kind in (part._parameters, part._buffers):
                for name, tensor in kind.items():
                    if tensor is not None:
                        moved = torch.empty(tensor.shape, dtype=tensor.dtype, device=self.device)
                        kind[name] = torch.nn.Parameter(moved) if kind is part._parameters else moved
        return module

    def autocast(self) -> Any:
        """Precision is another matter, and a device without kernels has none."""
        return nullcontext()


# torch lets Python name one more kind of device, without a kernel behind it: before the process computes its first gradient.
if torch._C._get_privateuse1_backend_name() != "elsewhere":
    backend_registration._setup_privateuseone_for_python_backend("elsewhere")


@pytest.fixture(scope="module")
def elsewhere() -> Compute:
    here = dataclasses.asdict(Compute.of(CPU))
    return Elsewhere(**here | {"device": torch.device("elsewhere"), "plain_attention": GPU.plain_attention})


@pytest.mark.parametrize("name", NAMES)
def test_every_trainer_keeps_its_tensors_on_the_device(
    name: str, elsewhere: Compute, tokenizer: CLIPTokenizer
) -> None:
    """Fake tensors know their device and hold no numbers: an operation across two devices raises, as on a GPU."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        stage = dict(stages(elsewhere, tokenizer))[name]()
        # What a trainer does at the end of its run may differ from what it does at first.
        for index, progress in enumerate((0.0, 0.9)):
            losses = stage.step(index, progress, Draws(1, index))
            assert {loss.device.type for loss in losses.values()} == {"elsewhere"}
        kept = [leaf for leaf in tree_leaves(stage.state()) if isinstance(leaf, torch.Tensor) and leaf.ndim]
        assert {leaf.device.type for leaf in kept} == {"elsewhere"}
        stage.load(stage.state())


def test_fake_devices_do_not_mix(elsewhere: Compute) -> None:
    """What the test above rests on."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        here, there = torch.ones(2), elsewhere.move(torch.ones(2))
        with pytest.raises(RuntimeError, match="same device"):
            _ = here + there


@pytest.mark.parametrize(
    "name", ["clip", "autoencoder", "denoiser", "upscaler", "prior", "decoder", "few-steps"]
)
def test_a_checkpoint_is_taken_up_and_shown(name: str, tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    """On a device that is here: steps, checkpoint, curve, sheet of the averaged weights."""
    torch.manual_seed(0)
    compute = Compute.of(CPU)
    first, second = (dict(stages(compute, tokenizer))[name]() for _ in range(2))
    assert train(first, tmp_path, steps=2, seed=1)
    assert train(second, tmp_path, steps=3, seed=1, sample_every=3)
    assert (tmp_path / "sheet-000003.png").exists() or name in ("clip", "prior")


def test_only_the_profile_names_a_device() -> None:
    named = {
        f"{file.name}:{node.lineno}"
        for file in TRAINING.rglob("*.py")
        if file.name != "profile.py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"(cpu|cuda|mps)(:\d+)?", node.value)
    }
    assert not named


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_told_of_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["all", "--profile", "gpu", "--home", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    for part in ("gpu", "cuda", torch.__version__, "--profile cpu", "pytorch.org"):
        assert part in said
    assert not list(tmp_path.iterdir())
    with pytest.raises(DeviceMissingError):
        Compute.of(GPU)


def test_weights_begin_from_the_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was drawn before, the same seed begins with the same weights."""
    began: list[torch.Tensor] = []

    def note(stage: Any, *args: Any, **options: Any) -> bool:
        began.append(stage.model.heads["subject"].weight.detach().clone())
        return False

    monkeypatch.setattr("engine.training.recipe.train", note)
    numbers = np.zeros((4, 64, 64, 3), dtype=np.uint8)
    renders = Pictures(toy_scenes(4), numbers, numbers[:, :8, :8, 0])
    monkeypatch.setattr(Recipe, "probe_sets", lambda recipe: [renders])
    for seed in (7, 7, 8):
        torch.rand(3)
        Recipe(TOY, tmp_path, seed).probe()
    assert torch.equal(began[0], began[1])
    assert not torch.equal(began[0], began[2])
