"""What the page asks of the designer, and the same request as a command line and as Python."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

from microwright.design.constraints import Constraints
from microwright.design.designer import Designer
from microwright.design.exact import Request
from microwright.design.refinement import RefinementNumerics
from microwright.design.targets import parse_target
from microwright.errors import InputError
from microwright.methods import SHIPPED, load_method

DEFAULT_MODEL = "gan-mdn-data-2"
#: constraint -> option of the command line
OPTIONS = {"smallest_feature_px": "--smallest-feature", "smallest_gap_px": "--smallest-gap", "symmetry": "--symmetry"}
FLAGS = {"no_islands": "--no-islands", "no_enclosed_voids": "--no-enclosed-voids"}


@dataclass(frozen=True)
class Ask:
    """A request in the words of the page.

    Attributes:
        model: name of a shipped model, or a folder.
        target: as on the command line.
        count: structures.
        seed: of the draw.
        constraints: kept by every design.
        refine: refine the method's samples, or take them as they are.
        certify: wanted half-width of the error bars; None keeps the solver's own.
        robust: prefer designs that ±1 pixel changes least.
        fabrication: report what fabrication errors do.
        workers: threads that solve side by side.
    """

    model: str
    target: str
    count: int = 30
    seed: int = 0
    constraints: Constraints = field(default_factory=Constraints)
    refine: bool = True
    certify: float | None = None
    robust: bool = False
    fabrication: bool = False
    workers: int = 1

    @property
    def designer(self) -> Designer:
        """The designer of the model."""
        return designer_of(self.model)

    def request(self) -> Request:
        """What the designer is asked.

        Raises:
            InputError: a target that is none.
        """
        return Request(
            target=parse_target(self.target, self.designer.solver.properties[0].name),
            count=self.count,
            seed=self.seed,
            constraints=self.constraints,
            refinement=RefinementNumerics(workers=self.workers),
            certify=self.certify,
            robust=self.robust,
            fabrication=self.fabrication,
        )


def shipped_models() -> list[str]:
    """Names of the models that come with the package, the default one first."""
    names = sorted(folder.name for folder in SHIPPED.iterdir() if (folder / "card.json").is_file())
    return sorted(names, key=lambda name: name != DEFAULT_MODEL)


def model_folder(model: str) -> Path:
    """The folder of a shipped model's name, or the folder itself.

    Raises:
        InputError: nothing was given.
    """
    if not model or not model.strip():
        raise InputError("model: none chosen; choose one of the list, or write the folder of a trained model")
    return SHIPPED / model if model in shipped_models() else Path(model.strip()).expanduser()


def designer_of(model: str) -> Designer:
    """The designer of a model, loaded once as long as its card stays the same.

    Raises:
        InputError: no model there, of another version, or damaged.
    """
    folder = model_folder(model)
    card = folder / "card.json"
    return _designer(folder, card.stat().st_mtime_ns if card.is_file() else 0)


@lru_cache(maxsize=8)
def _designer(folder: Path, changed: int) -> Designer:
    return Designer.of(load_method(folder))


def command_line(ask: Ask, formats: list[str], out: str = "designs") -> str:
    """The command that makes the same designs again."""
    words = ["microwright", "design", "--target", ask.target, "--count", str(ask.count), "--seed", str(ask.seed)]
    if ask.model not in shipped_models():
        words += ["--model", str(model_folder(ask.model))]
    elif ask.model != DEFAULT_MODEL:
        words += ["--method", ask.designer.method.card.method]
    asked = asdict(ask.constraints)
    for name, option in OPTIONS.items():
        if asked[name] != getattr(Constraints(), name):
            words += [option, str(asked[name])]
    words += [option for name, option in FLAGS.items() if asked[name]]
    if ask.certify is not None:
        words += ["--certify", f"{ask.certify:g}"]
    words += [f"--{name}" for name in ("robust", "fabrication") if getattr(ask, name)]
    words += [] if ask.refine else ["--direct"]
    words += ["--export", ",".join(formats)] if formats else []
    return shlex.join([*words, "--out", out])


def python_lines(ask: Ask) -> str:
    """The Python that makes the same designs again."""
    shipped = ask.model in shipped_models()
    load = f"load_shipped({ask.model!r})" if shipped else f"load_method(Path({str(model_folder(ask.model))!r}))"
    call = "exact_designs" if ask.refine else "direct_designs"
    lines = [
        *([] if shipped else ["from pathlib import Path", ""]),
        "import torch",
        "",
        *(["from microwright.design.constraints import Constraints"] if ask.constraints.asked else []),
        "from microwright.design.designer import Designer",
        f"from microwright.design.exact import Request, {call}",
        "from microwright.design.refinement import RefinementNumerics",
        "from microwright.design.targets import parse_target",
        f"from microwright.methods import {load.partition('(')[0]}",
        "",
        "torch.set_num_threads(1)",
        f"designer = Designer.of({load})",
        "request = Request(",
        f"    target=parse_target({ask.target!r}, designer.solver.properties[0].name),",
        f"    count={ask.count},",
        f"    seed={ask.seed},",
        *_arguments(ask),
        f"    refinement=RefinementNumerics(workers={ask.workers}),",
        ")",
        f"designs = {call}(designer, request).designs",
    ]
    return "\n".join(lines) + "\n"


def _arguments(ask: Ask) -> list[str]:
    """The arguments of a request that are not as they are by default."""
    plain, default = asdict(ask.constraints), asdict(Constraints())
    given = ", ".join(f"{name}={value!r}" for name, value in plain.items() if value != default[name])
    values = {
        "constraints": f"Constraints({given})" if ask.constraints.asked else None,
        "certify": ask.certify,
        "robust": True if ask.robust else None,
        "fabrication": True if ask.fabrication else None,
    }
    return [f"    {name}={value}," for name, value in values.items() if value is not None]
