"""Figures that the papers publish: minimum, average and standard deviation of REP in per cent, and running time.

Yang et al. 2021, Table 1 (Data-I and Data-II), and Kilic et al. 2023, Table I (Data-II; no running times). None where
the paper has no number. ``STIFFNESS_...`` are those of Sardeshmukh et al.'s VAE-Regression, Tables 1 and 6 to 10.
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


@dataclass(frozen=True)
class PublishedAccuracy:
    """Forward accuracy of one property.

    Attributes:
        mape: mean absolute error over the mean observed value, per cent.
        mape_deviation: over ten runs.
        r_squared: coefficient of determination.
        r_squared_deviation: over ten runs.
    """

    mape: float
    mape_deviation: float | None = None
    r_squared: float | None = None
    r_squared_deviation: float | None = None


#: Table 1: C11 alone
STIFFNESS_FORWARD = {
    "hill": PublishedAccuracy(46.66),
    "two-point": PublishedAccuracy(6.79),
    "vae-gpr": PublishedAccuracy(7.23, 0.15, 0.97, 1e-3),
    "reg-only": PublishedAccuracy(3.69, 0.17, 0.99, 4e-4),
    "vae-regression": PublishedAccuracy(3.50, 0.24, 0.99, 5e-4),
}


def _accuracies(**columns: tuple[float, float, float, float]) -> dict[str, PublishedAccuracy]:
    return {name: PublishedAccuracy(*column) for name, column in columns.items()}


#: Tables 7 and 8: all six entries at once
STIFFNESS_SIX_FORWARD = {
    "vae-lin": _accuracies(
        C11=(14.25, 0.19, 0.9228, 0.0028),
        C22=(14.65, 0.37, 0.9138, 0.0033),
        C33=(12.87, 0.26, 0.9322, 0.0019),
        C21=(19.4476, 0.3370, 0.8657, 0.0030),
        C31=(18.9616, 0.2750, 0.8734, 0.0034),
        C32=(17.0849, 0.2472, 0.894, 0.0020),
    ),
    "vae-nn": _accuracies(
        C11=(7.60, 0.11, 0.9717, 0.0012),
        C22=(7.46, 0.20, 0.9716, 0.0014),
        C33=(7.259, 0.09, 0.9736, 0.0008),
        C21=(9.6434, 0.3462, 0.9575, 0.0031),
        C31=(9.2863, 0.1511, 0.961, 0.0013),
        C32=(9.2004, 0.2123, 0.9608, 0.0017),
    ),
    "vae-gpr": _accuracies(
        C11=(7.23, 0.15, 0.9729, 0.0015),
        C22=(6.97, 0.13, 0.9737, 0.0009),
        C33=(6.84, 0.11, 0.9752, 0.0013),
        C21=(8.1671, 0.1726, 0.9644, 0.0016),
        C31=(7.9095, 0.1849, 0.9676, 0.0020),
        C32=(8.0401, 0.1558, 0.9662, 0.0014),
    ),
    "vae-svr": _accuracies(
        C11=(6.76, 0.12, 0.9763, 0.0013),
        C22=(6.56, 0.11, 0.9764, 0.0010),
        C33=(6.43, 0.07, 0.9779, 0.0010),
        C21=(7.59, 0.15, 0.969, 0.0014),
        C31=(7.36, 0.17, 0.9717, 0.0023),
        C32=(7.58, 0.12, 0.9695, 0.0014),
    ),
    "reg-only": _accuracies(
        C11=(4.27, 0.29, 0.9923, 0.0009),
        C22=(4.16, 0.29, 0.9921, 0.0010),
        C33=(4.15, 0.3, 0.9923, 0.0011),
        C21=(5.82, 0.43, 0.9855, 0.0021),
        C31=(5.78, 0.67, 0.9858, 0.0031),
        C32=(6.0, 0.72, 0.9846, 0.0031),
    ),
    "vae-regression": _accuracies(
        C11=(3.99, 0.3, 0.9932, 0.0010),
        C22=(3.77, 0.18, 0.9933, 0.0010),
        C33=(3.82, 0.16, 0.9934, 0.0006),
        C21=(5.48, 0.32, 0.9872, 0.0011),
        C31=(5.33, 0.21, 0.9880, 0.0009),
        C32=(5.35, 0.23, 0.9880, 0.0018),
    ),
}

#: Table 6: phase fraction of what each target's component means decode to: first, second component, single Gaussian
STIFFNESS_PHASE_FRACTIONS = {
    20.0: (0.32, 0.61, 0.64),
    25.0: (0.35, 0.63, 0.63),
    30.0: (0.38, 0.64, 0.57),
    35.0: (0.42, 0.64, 0.55),
    40.0: (0.44, 0.65, 0.56),
    50.0: (0.47, 0.65, 0.58),
    60.0: (0.49, 0.65, 0.59),
    80.0: (0.50, 0.66, 0.60),
}

#: Table 9: target vectors of the test set, GPa, in this order
STIFFNESS_ENTRIES = ("C11", "C21", "C31", "C22", "C32", "C33")
STIFFNESS_VECTORS = (
    (8.24, 4.44, 3.99, 38.07, 10.7, 43.22),
    (14.64, 6.94, 7.29, 64.97, 19.02, 63.03),
    (14.07, 7.09, 6.99, 67.95, 19.72, 65.22),
    (7.83, 3.11, 3.64, 31.74, 8.84, 40.6),
    (16.59, 7.28, 7.45, 66.93, 19.65, 65.84),
    (12.75, 6.42, 6.39, 74.23, 21.55, 70.61),
    (9.8, 4.68, 4.57, 51.51, 15.23, 57.91),
    (16.83, 7.75, 7.51, 80.56, 24.3, 79.55),
    (16.83, 8.07, 7.9, 79.87, 24.4, 79.67),
    (10.42, 5.02, 4.84, 53.46, 14.83, 54.41),
)

#: Table 10: mean absolute error of each entry, per cent, over these targets
STIFFNESS_VECTOR_ERRORS = {
    "unimodal": (35.0, 38.0, 36.0, 29.0, 34.0, 27.0),
    "mixture": (13.0, 13.0, 12.0, 12.0, 13.0, 9.0),
}

#: figure 3b: mean absolute error of the achieved C11 with the mixture prior, per cent, and its R²
STIFFNESS_INVERSE_ERROR = (16.0, 0.97)
#: figure 4c: error after 10 iterations from the inferred points; random starts need 5 searches of 200 for the same
STIFFNESS_ANNEALED_ERROR = 10.0
