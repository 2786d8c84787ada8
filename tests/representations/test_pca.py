"""Principal components: exact at full rank, standardised, orthogonal, and refused where there is too little data."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microwright.errors import InputError
from microwright.representations.pca import PcaRepresentation
from microwright.representations.pixels import PixelRepresentation


def structures(count: int, edge: int, seed: int = 0) -> torch.Tensor:
    return (torch.rand((count, edge, edge), generator=torch.Generator().manual_seed(seed)) > 0.6).float()


@settings(max_examples=15, deadline=None)
@given(edge=st.integers(2, 6), seed=st.integers(0, 99))
def test_full_rank_is_exact(edge, seed):
    known = structures(3 * edge**2, edge, seed)
    pca = PcaRepresentation((edge, edge), edge**2)
    pca.fit(known, seed=0)
    assert torch.allclose(pca.decode(pca.encode(known)), known, atol=1e-4)
    assert torch.equal((pca.decode(pca.encode(known)) > 0.5).float(), known)


def test_latents_of_the_training_set_are_standardised():
    known = structures(200, 8)
    pca = PcaRepresentation((8, 8), 4)
    pca.fit(known, seed=0)
    latents = pca.encode(known)
    assert torch.allclose(latents.mean(0), torch.zeros(4), atol=1e-5)
    assert torch.allclose(torch.cov(latents.T), torch.eye(4), atol=1e-4)


def test_more_components_reconstruct_better():
    known = structures(100, 8)
    errors = []
    for components in (1, 8, 32):
        pca = PcaRepresentation((8, 8), components)
        pca.fit(known, seed=0)
        errors.append(float((pca.decode(pca.encode(known)) - known).square().mean()))
    assert errors[0] > errors[1] > errors[2]


def test_too_few_structures_are_said():
    with pytest.raises(InputError, match="3 structures cannot give 4"):
        PcaRepresentation((8, 8), 4).fit(structures(3, 8), seed=0)


def test_pixels_are_their_own_latents():
    known = structures(3, 8)
    pixels = PixelRepresentation((8, 8))
    assert torch.equal(pixels.structures(pixels.encode(known)), known)
    assert pixels.decode(known * 3 - 1).aminmax() == (0, 1)
