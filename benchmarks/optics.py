"""Speed of the dense optical engine beside its peers, on the same structures in the same run.

    python benchmarks/optics.py [ROWS]          # speed; ROWS is a file of finished rows to go on from
    python benchmarks/optics.py table           # the results of it as a table for the documentation
    python benchmarks/optics.py formulations    # how far apart the formulations lie on pixel images, with a plot

Peers (fmmax, meent, grcwa, torcwa) are used where they are installed and skipped with a word where not. Every case
runs in a process of its own, on one core, so that peak memory is its own. ``seconds`` is processor time per structure
(with one thread it equals wall-clock time on a quiet core, and unlike that it does not suffer from neighbours), the
least of the repetitions, after one warm-up that compiles what is to be compiled; ``value`` is the absorption of the
first structure.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

COMMAND = "python benchmarks/optics.py"
PIXELS = 64
SIZES = (49, 121, 225, 441)
#: seconds that a case may take
LIMIT_S = 600
#: structures that go through a solver at once
BATCH = {49: 16, 121: 4, 225: 2, 441: 1}
PRECISIONS = ("single", "double")
PEERS = ("fmmax", "meent", "grcwa", "torcwa")
#: wavelength, period, thickness in nm; index of phase 1 (phase 0 and superstrate: air); index of the substrate
CELLS = {
    "perovskite": (670.0, 800.0, 115.0, 2.48444 + 0.24998j, 1.5),
    "high index": (650.0, 400.0, 200.0, 4.195 + 0.05j, 1.5),
}


@dataclass(frozen=True)
class Case:
    """One measurement."""

    solver: str
    cell: str
    harmonics: int
    precision: str
    gradient: bool
    cores: int = 1
    formulation: str = "laurent"


def structures(count: int) -> np.ndarray:
    """Smooth random two-phase patterns."""
    rng = np.random.default_rng(0)
    k = np.hypot(*np.meshgrid(*[np.fft.fftfreq(PIXELS, 1 / PIXELS)] * 2))
    noise = np.fft.fft2(rng.standard_normal((count, PIXELS, PIXELS)))
    field = np.fft.ifft2(noise * np.exp(-((k - 3) ** 2) / 8)).real
    return (field > np.quantile(field, 0.6, axis=(1, 2), keepdims=True)).astype(float)


def microwright_case(case: Case, patterns: np.ndarray) -> Callable[[], np.ndarray]:
    import torch

    from microwright.physics.optics import OpticalCell, PatternedLayer, RcwaNumerics, RcwaSolver

    wavelength, period, thickness, index, substrate = CELLS[case.cell]
    cell = OpticalCell(wavelength, period, (PatternedLayer(thickness, 1.0, index),), 1.0, substrate)
    numerics = RcwaNumerics(case.harmonics, case.formulation, precision=case.precision)
    solver = RcwaSolver(cell, numerics)
    x = torch.tensor(patterns)

    def run() -> np.ndarray:
        if not case.gradient:
            with torch.no_grad():
                return solver.solve(x).values[:, 0].numpy()
        leaf = x.clone().requires_grad_()
        values = solver.solve(leaf).values[:, 0]
        values.sum().backward()
        return values.detach().numpy()

    return run


def fmmax_case(case: Case, patterns: np.ndarray) -> Callable[[], np.ndarray]:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", case.precision == "double")
    real, complex_ = (jnp.float64, jnp.complex128) if case.precision == "double" else (jnp.float32, jnp.complex64)
    import fmmax

    wavelength, period, thickness, index, substrate = CELLS[case.cell]
    lattice = fmmax.LatticeVectors(u=fmmax.X * period, v=fmmax.Y * period)
    expansion = fmmax.generate_expansion(lattice, case.harmonics, fmmax.Truncation.PARALLELOGRAMIC)
    n = expansion.num_terms

    def absorption(x: Any) -> Any:
        def modes(permittivity: Any) -> Any:
            return fmmax.eigensolve_isotropic_media(
                wavelength=jnp.asarray(wavelength, real),
                in_plane_wavevector=jnp.zeros(2, real),
                primitive_lattice_vectors=lattice,
                permittivity=permittivity,
                expansion=expansion,
                formulation=fmmax.Formulation.FFT,
            )

        film = 1 + (index**2 - 1) * x.astype(complex_)
        uniform = [jnp.full((1, 1), e, complex_) for e in (1.0, substrate**2)]
        layers = [modes(uniform[0]), modes(film), modes(uniform[1])]
        s = fmmax.stack_s_matrix(layers, [jnp.asarray(t, real) for t in (0.0, thickness, 0.0)])
        incident = jnp.zeros((2 * n, 2), complex_).at[0, 0].set(1).at[n, 1].set(1)
        nothing = jnp.zeros_like(s.s11 @ incident)
        given, _ = fmmax.amplitude_poynting_flux(incident, jnp.zeros_like(incident), layers[0])
        _, reflected = fmmax.amplitude_poynting_flux(nothing, s.s21 @ incident, layers[0])
        passed, _ = fmmax.amplitude_poynting_flux(s.s11 @ incident, nothing, layers[2])
        return (1 + (reflected.sum(-2) - passed.sum(-2)) / given.sum(-2)).mean(-1)

    x = jnp.asarray(patterns, real)
    values = jax.jit(absorption)
    both = jax.jit(jax.value_and_grad(lambda x: absorption(x).sum()))

    def run() -> np.ndarray:
        if case.gradient:
            total, gradient = both(x)
            gradient.block_until_ready()
            return np.atleast_1d(np.asarray(total)) / len(patterns)
        return np.atleast_1d(np.asarray(values(x)))

    return run


def meent_case(case: Case, patterns: np.ndarray) -> Callable[[], np.ndarray]:
    import meent
    import torch

    wavelength, period, thickness, index, substrate = CELLS[case.cell]
    reach = int(case.harmonics**0.5) // 2
    type_complex = torch.complex128 if case.precision == "double" else torch.complex64

    def absorption(x: Any) -> Any:
        cell = torch.sqrt(1 + (np.conj(index) ** 2 - 1) * x.to(type_complex))[None]
        results = []
        for pol in (0, 1):
            engine = meent.call_mee(
                backend=2,
                pol=pol,
                n_top=1.0,
                n_bot=substrate,
                theta=0.0,
                phi=0.0,
                fto=[reach, reach],
                wavelength=wavelength,
                period=[period, period],
                ucell=cell,
                thickness=[thickness],
                type_complex=type_complex,
                fourier_type=1,
                enhanced_dfs=True,
            )
            result = engine.conv_solve()
            results.append(1 - result.de_ri.sum() - result.de_ti.sum())
        return sum(results) / 2

    return _torch_loop(case, patterns, absorption)


def torcwa_case(case: Case, patterns: np.ndarray) -> Callable[[], np.ndarray]:
    import torch
    import torcwa

    wavelength, period, thickness, index, substrate = CELLS[case.cell]
    reach = int(case.harmonics**0.5) // 2
    type_complex = torch.complex128 if case.precision == "double" else torch.complex64
    orders = [[m, n] for m in range(-reach, reach + 1) for n in range(-reach, reach + 1)]
    ports = {"reflection": 1.0, "transmission": substrate}
    leaving = {port: [o for o in orders if np.hypot(*o) * wavelength / period < n] for port, n in ports.items()}

    def absorption(x: Any) -> Any:
        size = {"order": [reach, reach], "L": [period, period]}
        engine = torcwa.rcwa(freq=1 / wavelength, **size, dtype=type_complex, device=torch.device("cpu"))
        engine.add_input_layer(eps=1.0)
        engine.add_output_layer(eps=substrate**2)
        engine.set_incident_angle(inc_ang=0.0, azi_ang=0.0)
        engine.add_layer(thickness=thickness, eps=1 + (index**2 - 1) * x.to(type_complex))
        engine.solve_global_smatrix()
        power = 0.0
        for polarisation in ("pp", "sp", "ps", "ss"):
            for port, open_orders in leaving.items():
                s = engine.S_parameters(
                    open_orders, direction="forward", port=port, polarization=polarisation, power_norm=True
                )
                power = power + (s.abs() ** 2).sum()
        return 1 - power / 2

    return _torch_loop(case, patterns, absorption)


def _torch_loop(case: Case, patterns: np.ndarray, absorption: Callable[[Any], Any]) -> Callable[[], np.ndarray]:
    import torch

    def one(pattern: np.ndarray) -> float:
        x = torch.tensor(pattern, dtype=torch.float64, requires_grad=case.gradient)
        value = absorption(x)
        if case.gradient:
            value.backward()
        return float(value)

    return lambda: np.array([one(pattern) for pattern in patterns])


def grcwa_case(case: Case, patterns: np.ndarray) -> Callable[[], np.ndarray]:
    import grcwa

    wavelength, period, thickness, index, substrate = CELLS[case.cell]

    def one(pattern: np.ndarray) -> float:
        engine = grcwa.obj(case.harmonics, [1.0, 0.0], [0.0, 1.0], period / wavelength + 0j, 0.0, 0.0, verbose=0)
        engine.Add_LayerUniform(0.0, 1.0)
        engine.Add_LayerGrid(thickness / period, PIXELS, PIXELS)
        engine.Add_LayerUniform(0.0, substrate**2)
        engine.Init_Setup(Gmethod=1)
        engine.GridLayer_geteps((1 + (index**2 - 1) * pattern).flatten())
        absorbed = []
        for amplitudes in ((1.0, 0.0), (0.0, 1.0)):
            engine.MakeExcitationPlanewave(amplitudes[0], 0.0, amplitudes[1], 0.0, order=0)
            reflected, passed = engine.RT_Solve(normalize=1)
            absorbed.append(1 - np.real(reflected) - np.real(passed))
        return float(np.mean(absorbed))

    return lambda: np.array([one(pattern) for pattern in patterns])


MAKERS = {
    "microwright": microwright_case,
    "fmmax": fmmax_case,
    "meent": meent_case,
    "grcwa": grcwa_case,
    "torcwa": torcwa_case,
}


def measure(case: Case) -> dict[str, Any]:
    """Run one case in this process."""
    import torch

    torch.set_num_threads(case.cores)
    compiled = case.solver in ("microwright", "fmmax")
    patterns = structures(BATCH[case.harmonics] if compiled else 1)
    before = _peak_mib()
    run = MAKERS[case.solver](case, patterns)
    value = float(run()[0]) if compiled or case.harmonics <= 49 else None
    clock = time.process_time if case.cores == 1 else time.perf_counter
    seconds, wall = [], []
    while len(seconds) < 5 and (sum(wall) < 3 or not seconds):
        start, start_wall = clock(), time.perf_counter()
        result = run()
        seconds.append((clock() - start) / len(patterns))
        wall.append(time.perf_counter() - start_wall)
    value = float(result[0]) if value is None else value
    return {
        **case.__dict__,
        "seconds": min(seconds),
        "wall_seconds": min(wall) / len(patterns),
        "peak_mib": _peak_mib() - before,
        "value": value if not (case.gradient and case.solver == "fmmax") else None,
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cases() -> Iterable[Case]:
    """Everything that is measured, cheap ones first."""
    for harmonics in SIZES:
        for gradient in (False, True):
            for precision in PRECISIONS:
                for solver in ("microwright", *PEERS):
                    if _reasonable(solver, harmonics, precision, gradient):
                        yield Case(solver, "perovskite", harmonics, precision, gradient)
            yield Case("microwright", "perovskite", harmonics, "single", gradient, formulation="li")
    for harmonics in (121, 225):
        for solver in ("microwright", "fmmax"):
            yield Case(solver, "high index", harmonics, "single", False)
    # on two cores fmmax's calls of LAPACK wait for one another for ever
    for solver in ("microwright", *(peer for peer in PEERS if peer != "fmmax")):
        for harmonics in (121, 225):
            if _reasonable(solver, harmonics, "single", False):
                yield Case(solver, "perovskite", harmonics, "single", False, cores=2)


def _reasonable(solver: str, harmonics: int, precision: str, gradient: bool) -> bool:
    """grcwa has one precision and is timed forward only; the slow peers are left out where they take minutes."""
    if solver == "grcwa":
        return precision == "double" and not gradient and harmonics <= 225
    if solver in ("torcwa", "meent"):
        return harmonics <= (121 if gradient else 225)
    return True


def isolated(case: Case) -> dict[str, Any]:
    """Run one case in a process of its own on its cores."""
    threads = str(case.cores)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={'true' if case.cores > 1 else 'false'}",
        "JAX_PLATFORMS": "cpu",
        "CASE": json.dumps(case.__dict__),
    }
    command = [sys.executable, str(Path(__file__).resolve())]
    try:
        done = _run(command, environment, case.cores)
    except subprocess.TimeoutExpired:
        return {**case.__dict__, "skipped": f"took more than {LIMIT_S} s, compilation included"}
    if done.returncode:
        return {**case.__dict__, "skipped": (done.stderr.strip().splitlines() or ["failed"])[-1][:160]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def _run(command: list[str], environment: dict[str, str], cores: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
        preexec_fn=lambda: os.sched_setaffinity(0, set(range(cores))),
    )


def report(row: dict[str, Any]) -> str:
    head = f"{row['solver']:12s} {row['formulation']:8s} {row['cell']:11s} N={row['harmonics']:<4d}"
    head += f" {row['precision']:7s}"
    head += f"{'gradient' if row['gradient'] else 'forward ':9s} {row['cores']} core"
    if "skipped" in row:
        return f"{head}  skipped: {row['skipped']}"
    value = "" if row["value"] is None else f"A = {row['value']:.6f}"
    return f"{head}  {row['seconds'] * 1e3:9.1f} ms  {row['peak_mib']:7.0f} MiB  {value}"


def claims(rows: list[dict[str, Any]]) -> list[Any]:
    """Ratios to the fastest peer in the same precision, for every N up to 225, on one core."""
    from microwright.bench.results import Claim

    made = []
    for cell, gradient, precision, goal in (
        ("perovskite", False, "single", 5.0),
        ("perovskite", False, "double", 2.5),
        ("perovskite", True, "single", 5.0),
        ("perovskite", True, "double", 5.0),
        ("high index", False, "single", 5.0),
    ):
        ratios = {n: _ratio(rows, cell, n, precision, gradient) for n in (49, 121, 225)}
        known = {n: r for n, r in ratios.items() if r is not None}
        worst = min(known, key=lambda n: known[n], default=None)
        value = None if worst is None else round(known[worst], 2)
        what = "value with gradient" if gradient else "forward"
        name = f"{what}, {precision}, {cell} cell: times the fastest peer, worst of N ≤ 225"
        detail = "; ".join(f"N={n}: {r:.1f}" for n, r in known.items())
        met = value is not None and value >= goal
        made.append(Claim(name, value, f"at least {goal:g}", "ratio", met, detail + ("" if met else _limit(worst))))
    absent = "no GPU was at hand, not measured"
    made.append(Claim("GPU: times the fastest peer on the same GPU", None, "at least 100", "ratio", False, absent))
    made.append(Claim("GPU: share of the matrix peak", None, "at least 0.4", "1", False, absent))
    return made


def _limit(harmonics: int | None) -> str:
    if harmonics is None:
        return "no peer installed"
    return "; limited by the share of triangular solves and inverses, which run at half the rate of matrix products"


def _ratio(rows: list[dict[str, Any]], cell: str, harmonics: int, precision: str, gradient: bool) -> float | None:
    """Least seconds of a peer over our seconds."""
    same = [
        row
        for row in rows
        if (row["cell"], row["harmonics"], row["precision"], row["gradient"]) == (cell, harmonics, precision, gradient)
        and row["cores"] == 1
        and row["formulation"] == "laurent"
        and "seconds" in row
    ]
    own = [row["seconds"] for row in same if row["solver"] == "microwright"]
    peers = [row["seconds"] for row in same if row["solver"] != "microwright"]
    return min(peers) / own[0] if own and peers else None


def formulations() -> None:
    """Absorption of four structures by N for both formulations, in two cells, as results and as a plot."""
    import torch

    from microwright.bench.results import Claim, write_results
    from microwright.physics.optics import RcwaNumerics, simulate

    sizes, patterns = (25, 49, 81, 121, 169, 225, 289, 361, 441), torch.tensor(structures(4))
    rows = []
    for name, cell in _spread_cells().items():
        for rule in ("laurent", "li"):
            for harmonics in sizes:
                with torch.no_grad():
                    values = simulate(cell, patterns, RcwaNumerics(harmonics, rule)).absorption
                rows.append({"cell": name, "formulation": rule, "harmonics": harmonics, "absorption": values.tolist()})
                print(name, rule, harmonics, [round(v, 4) for v in values.tolist()], flush=True)
    made = [
        Claim(f"{name}: largest difference of the formulations at N = 441", _gap(rows, name), "reported", "1", True)
        for name in _spread_cells()
    ]
    command = f"{COMMAND} formulations"
    write_results("optics-dense-formulations", command, rows, made, ("single precision, 64 x 64 pixels",))
    _plot(rows, Path("docs/optics-formulations.png"))


def _spread_cells() -> dict[str, Any]:
    from microwright.physics.optics import OpticalCell, PatternedLayer, default_cell
    from microwright.physics.optics.materials import index_of

    silicon = PatternedLayer(200.0, 1.0, index_of("a-Si", 600.0))
    return {
        "perovskite on silver (the default cell)": default_cell(),
        "amorphous silicon, 800/200 nm, on glass, 600 nm": OpticalCell(600.0, 800.0, (silicon,), 1.0, 1.5),
    }


def _gap(rows: list[dict[str, Any]], cell: str) -> float:
    last = {r["formulation"]: np.array(r["absorption"]) for r in rows if r["cell"] == cell and r["harmonics"] == 441}
    return round(float(np.abs(last["laurent"] - last["li"]).max()), 4)


def _plot(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    cells = list(dict.fromkeys(row["cell"] for row in rows))
    figure, axes = pyplot.subplots(1, len(cells), figsize=(11, 4.2), layout="constrained")
    for axis, cell in zip(axes, cells, strict=True):
        for rule, style in (("laurent", "--"), ("li", "-")):
            mine = [row for row in rows if row["cell"] == cell and row["formulation"] == rule]
            values = np.array([row["absorption"] for row in mine])
            for number in range(values.shape[1]):
                look = {"color": f"C{number}", "marker": ".", "label": rule.capitalize() if number == 0 else None}
                axis.plot([row["harmonics"] for row in mine], values[:, number], style, **look)
        axis.set(title=cell, xlabel="harmonics N", ylabel="absorption")
        axis.grid(alpha=0.3)
        axis.legend(title="one colour per structure")
    figure.savefig(path, dpi=110)


def main() -> None:
    if "CASE" in os.environ:
        print(json.dumps(measure(Case(**json.loads(os.environ["CASE"])))))
    elif sys.argv[1:] == ["formulations"]:
        formulations()
    elif sys.argv[1:] == ["table"]:
        table()
    else:
        speed(*map(Path, sys.argv[1:2]))


def table() -> None:
    """Print milliseconds per structure and the ratio to the fastest peer as Markdown."""
    rows = [row for row in json.loads(Path("results/optics-dense-speed.json").read_text())["rows"] if "seconds" in row]
    print("| cell | N | precision | | microwright | " + " | ".join(PEERS) + " | fastest peer / microwright |")
    print("|" + "---|" * (6 + len(PEERS)))
    kinds = dict.fromkeys((r["cell"], r["harmonics"], r["precision"], r["gradient"]) for r in rows if r["cores"] == 1)
    for kind in kinds:
        found = {
            row["solver"]: f"{row['seconds'] * 1e3:.3g}"
            for row in rows
            if (row["cell"], row["harmonics"], row["precision"], row["gradient"]) == kind
            and row["cores"] == 1
            and row["formulation"] == "laurent"
        }
        ratio = _ratio(rows, *kind)
        cells = [*map(str, kind[:3]), "with gradient" if kind[3] else "value"]
        cells += [found.get(solver, "") for solver in ("microwright", *PEERS)] + [
            "" if ratio is None else f"{ratio:.1f}"
        ]
        print("| " + " | ".join(cells) + " |")


def _kept(case: Case, rows_file: Path | None) -> dict[str, Any]:
    """The row of a case, from ``rows_file`` where an earlier run left it there."""
    lines = rows_file.read_text().splitlines() if rows_file and rows_file.exists() else []
    for row in map(json.loads, lines):
        if case.__dict__.items() <= row.items():
            return row
    row = isolated(case)
    if rows_file:
        with rows_file.open("a") as file:
            file.write(json.dumps(row) + "\n")
    return row


def speed(rows_file: Path | None = None) -> None:
    """Time every case and write the results; with ``rows_file`` a run that was cut short goes on."""
    from microwright.bench.results import write_results

    missing = [peer for peer in PEERS if importlib.util.find_spec(peer) is None]
    for peer in missing:
        print(f"{peer}: absent, skipped")
    rows = []
    for case in cases():
        if case.solver not in missing:
            rows.append(_kept(case, rows_file))
            print(report(rows[-1]), flush=True)
    made = claims(rows)
    for claim in made:
        print(f"{'met   ' if claim.met else 'missed'} {claim.name}: {claim.value} (goal {claim.goal}) {claim.note}")
    notes = [
        "seconds: processor time per structure on one core (wall-clock on two)",
        "two cores: without fmmax, which hangs there (its callbacks wait for one another)",
        "meent has Li's rule, the others Laurent's: its values differ; microwright and meent take pixels as boxes",
        *(f"{peer}: absent, skipped" for peer in missing),
        "no GPU was at hand, not measured",
    ]
    packages = ("microwright", "torch", "numpy", *PEERS, "jax")
    write_results("optics-dense-speed", COMMAND, rows, made, notes, packages)


if __name__ == "__main__":
    main()
