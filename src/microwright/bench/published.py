"""Figures that the papers publish: minimum, average and standard deviation of REP in per cent, and running time.

Yang et al. 2021, Table 1 (Data-I and Data-II), and Kilic et al. 2023, Table I (Data-II; no running times). None where
the paper has no number.
"""

from __future__ import annotations

from dataclasses import dataclass

TARGETS = (0.55, 0.60, 0.65, 0.70, 0.75)


@dataclass(frozen=True)
class PublishedRow:
    """One target of one method.

    Attributes:
        minimum: smallest REP in per cent.
        average: mean REP in per cent.
        deviation: its standard deviation.
        seconds: running time.
    """

    minimum: float | None
    average: float | None
    deviation: float | None
    seconds: float | None


def _rows(*rows: tuple[float | None, ...]) -> dict[float, PublishedRow]:
    return {target: PublishedRow(*row) for target, row in zip(TARGETS, rows, strict=True)}


def _search(*rows: tuple[float | None, float]) -> dict[float, PublishedRow]:
    return _rows(*((minimum, None, None, hours * 3600) for minimum, hours in rows))


PUBLISHED = {
    "data-1": {
        "gan-mdn": _rows(
            (0.65, 15.68, 8.40, 9.75),
            (0.18, 9.15, 5.97, 9.50),
            (0.22, 5.80, 3.93, 9.67),
            (0.13, 5.29, 3.86, 9.62),
            (0.20, 7.83, 3.91, 9.50),
        ),
        "pca-mdn": _rows(
            (5.05, 17.67, 7.84, 7.22),
            (0.50, 10.89, 6.48, 7.30),
            (0.17, 5.92, 4.00, 7.20),
            (0.40, 8.81, 5.27, 7.20),
            (2.95, 18.34, 5.54, 7.36),
        ),
        "pixel-mdn": _rows(
            (0.84, 9.07, 3.14, 175.27),
            (4.70, 14.40, 4.08, 187.86),
            (9.35, 20.04, 4.06, 177.60),
            (12.29, 25.18, 4.21, 147.23),
            (17.73, 26.81, 3.55, 178.70),
        ),
        "bayesian-optimisation": _search((None, 4.4), (1.08, 3.6), (3.38, 5.8), (None, 10.6), (None, 8.9)),
    },
    "data-2": {
        "vqvae-mdn": _rows(
            (0.07, 6.17, 4.30, None),
            (0.36, 8.40, 6.04, None),
            (0.10, 8.21, 5.11, None),
            (0.03, 5.45, 4.03, None),
            (0.32, 6.84, 3.30, None),
        ),
        "gan-mdn": _rows(
            (1.25, 16.19, 8.96, 9.67),
            (0.70, 10.99, 7.93, 9.74),
            (0.18, 7.65, 5.64, 9.57),
            (0.10, 5.00, 4.61, 9.68),
            (0.43, 6.18, 3.51, 9.60),
        ),
        "pca-mdn": _rows(
            (4.96, 11.74, 3.05, 7.24),
            (0.07, 2.69, 2.18, 7.26),
            (3.71, 8.79, 2.59, 7.40),
            (0.10, 3.41, 2.44, 7.15),
            (3.17, 6.27, 1.52, 7.26),
        ),
        "pixel-mdn": _rows(
            (2.85, 12.78, 3.89, 23.21),
            (7.87, 14.95, 3.56, 24.05),
            (11.00, 17.33, 2.63, 24.14),
            (3.03, 15.62, 4.09, 23.90),
            (8.44, 12.73, 3.20, 23.34),
        ),
        "bayesian-optimisation": _search((15.51, 5.8), (None, 12.1), (1.21, 4.2), (None, 18.8), (None, 3.2)),
    },
}
