"""Models on disk: whole or absent, and every damage said in one line."""

import json

import pytest
import torch
from torch import nn

from microwright.errors import InputError
from microwright.methods.card import ModelCard, PartCard, load_weights, property_cards, read_card, write_model
from microwright.physics.property import Property


def card() -> ModelCard:
    values = torch.linspace(0.3, 0.8, 11, dtype=torch.float64)[:, None]
    return ModelCard(
        method="gan-mdn",
        version="",
        properties=property_cards((Property("absorption", "1", "absorbed share"),), values),
        grid=(64, 64),
        solver={"engine": "rcwa"},
        representation=PartCard(kind="gan", config={"size": 64}),
        inverter=PartCard(kind="mdn", config={"components": 40}),
        training={"seed": 0},
        metrics={"nll": 1.0},
    )


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    write_model(folder, card(), {"part": nn.Linear(2, 3)})
    return folder


def test_round_trip(model):
    read = read_card(model)
    assert read.properties == card().properties
    part = nn.Linear(2, 3)
    load_weights(model, {"part": part})
    again = nn.Linear(2, 3)
    load_weights(model, {"part": again})
    assert torch.equal(part.weight, again.weight)


def test_quantiles_are_those_of_the_data():
    item = card().properties[0]
    assert (item.low, item.high) == (0.3, 0.8)
    assert item.quantiles[50] == pytest.approx(0.55)


def damage_format(folder):
    content = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(content | {"format": 99}))


def damage_field(folder):
    content = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(content | {"grid": "wide"}))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "card.json").unlink(), "holds no card.json"),
        (lambda folder: (folder / "card.json").write_text("{"), "is no JSON"),
        (damage_format, "has format 99"),
        (damage_field, "grid"),
    ],
)
def test_a_damaged_card_is_said(model, damage, said):
    damage(model)
    with pytest.raises(InputError, match=said):
        read_card(model)


@pytest.mark.parametrize("content", [b"", b"junk" * 100])
def test_damaged_weights_are_said(model, content):
    (model / "weights.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="cannot be used"):
        load_weights(model, {"part": nn.Linear(2, 3)})


def test_weights_of_another_shape_are_said(model):
    with pytest.raises(InputError, match="cannot be used"):
        load_weights(model, {"part": nn.Linear(4, 3)})
