"""A resumed training is the same training, and its checkpoints hold no code."""

from pathlib import Path

import lightning
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from microwright.errors import InputError
from microwright.training import StepBatches, TrainerOptions, seeded, step_generator
from microwright.training.checkpoints import SafetensorsCheckpoints
from microwright.training.fit import fit
from microwright.training.tensors import write_tensors


class Regression(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = seeded(0, lambda: nn.Linear(3, 1))

    def training_step(self, batch):
        x, y = batch
        return (self.network(x) - y).square().mean()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.05)


def data():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn((40, 3), generator=generator)
    return x, x.sum(1, keepdim=True)


def trained(folder: Path, *epochs: int) -> torch.Tensor:
    for count in epochs:
        module = Regression()
        fit(module, StepBatches(data(), 8, 5, seed=2), count, TrainerOptions(folder, "cpu", progress=False))
    return module.network.weight.detach()


def test_resumed_training_equals_an_undisturbed_one(tmp_path):
    whole = trained(tmp_path / "whole", 6)
    in_parts = trained(tmp_path / "parts", 2, 6)
    assert torch.equal(whole, in_parts)


def test_training_learns(tmp_path):
    assert (trained(tmp_path, 60) - 1).abs().max() < 0.2


def test_checkpoint_holds_safetensors_and_json_only(tmp_path):
    trained(tmp_path, 1)
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".safetensors", ".json"}


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers() | st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(state=st.dictionaries(st.text(max_size=4), values, max_size=4))
def test_checkpoint_round_trip(tmp_path_factory, state):
    path = tmp_path_factory.mktemp("checkpoint") / "state"
    tensor = torch.arange(6.0).reshape(2, 3)
    SafetensorsCheckpoints().save_checkpoint({"state": state, "weights": {0: tensor}}, path)
    back = SafetensorsCheckpoints().load_checkpoint(path)
    assert back["state"] == state
    assert torch.equal(back["weights"][0], tensor)


def test_steps_have_generators_of_their_own():
    draws = {torch.rand(1, generator=step_generator(0, step)).item() for step in range(50)}
    again = {torch.rand(1, generator=step_generator(0, step)).item() for step in range(50)}
    assert len(draws) == 50
    assert draws == again


def test_seeding_leaves_the_global_state_alone():
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first, second = (seeded(3, lambda: nn.Linear(4, 4)) for _ in range(2))
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(torch.rand(1), expected)


def test_a_place_that_takes_no_file_is_said(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        write_tensors(tmp_path / "missing" / "weights.safetensors", {"a": torch.zeros(2)})


class Diary(Regression):
    """Notes its loss at every step, one file a process."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def training_step(self, batch):
        loss = super().training_step(batch)
        with (self.folder / f"losses-{self.global_rank}").open("a") as file:
            file.write(f"{loss.item()!r}\n")
        return loss

    def on_save_checkpoint(self, checkpoint):
        checkpoint["kept"] = self.global_step

    def on_load_checkpoint(self, checkpoint):
        self.kept = checkpoint["kept"]


def curve(folder: Path, devices: int) -> tuple[torch.Tensor, Diary]:
    """The mean loss of all processes at every step, and the trained module."""
    folder.mkdir()
    module = Diary(folder)
    fit(module, StepBatches(data(), 8, 5, seed=2), 4, TrainerOptions(folder, "cpu", devices, progress=False))
    losses = [[float(line) for line in file.read_text().split()] for file in sorted(folder.glob("losses-*"))]
    assert len(losses) == devices
    return torch.tensor(losses).mean(0), module


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    """The same loss curve and the same weights within rounding; what the module keeps comes back too."""
    (one, alone), (two, together) = (curve(tmp_path / str(devices), devices) for devices in (1, 2))
    assert len(one) == 20
    torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(together.network.weight, alone.network.weight, rtol=1e-5, atol=1e-6)
    assert together.kept == 20


def test_processes_share_each_batch():
    whole = [batch[0] for batch in StepBatches(data(), 8, 3, seed=2)]
    shares = []
    for rank in range(2):
        batches = StepBatches(data(), 8, 3, seed=2)
        batches.rank, batches.processes = rank, 2
        shares.append([batch[0] for batch in batches])
    for step, batch in enumerate(whole):
        assert len(shares[0][step]) == len(shares[1][step]) == 4
        both = torch.cat([share[step] for share in shares])
        assert sorted(both.tolist()) == sorted(batch.tolist())


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path):
    with pytest.raises(InputError, match="batch of 8 cannot be shared equally by 3"):
        fit(Regression(), StepBatches(data(), 8, 5, seed=2), 1, TrainerOptions(tmp_path, "cpu", 3, progress=False))
