import tempfile
from pathlib import Path

from microwright.data.labelling import label
from microwright.data.sources import RandomFieldSource
from microwright.physics.external import read_simulator

simulator = read_simulator(Path(__file__).parent / "simulators" / "conduction.toml")
structures = RandomFieldSource((24, 24), phase_fraction=(0.2, 0.6), seed=1)
with tempfile.TemporaryDirectory() as folder:
    labelled = label(structures, simulator, Path(folder) / "conduction.zarr", count=4, chunk=2)
    print(labelled.property_names, labelled.units)
    print(labelled.properties[:], labelled.status[:])
