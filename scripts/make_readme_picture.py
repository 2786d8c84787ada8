"""Draw the README's picture: the ten best direct designs for each of the papers' five targets.

python scripts/make_readme_picture.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from microwright.cli.design import DEFAULT_MODEL
from microwright.design.designer import Designer
from microwright.design.designs import Designs
from microwright.design.gallery import COLUMNS, write_gallery
from microwright.design.targets import Target
from microwright.methods import load_method

TARGETS = (0.55, 0.60, 0.65, 0.70, 0.75)


def best(designs: Designs) -> Designs:
    """As many of the nearest designs as one row of a gallery shows."""
    return designs.subset(np.argsort(designs.worst_rep)[:COLUMNS])


if __name__ == "__main__":
    designer = Designer.of(load_method(DEFAULT_MODEL))
    sets = [best(designer.design(Target.value("absorption", target), 30, seed=0)) for target in TARGETS]
    write_gallery(Path("docs/gallery.png"), sets)
