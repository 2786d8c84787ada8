from microwright.design.designer import Designer
from microwright.design.exact import Request, exact_designs
from microwright.design.targets import parse_target
from microwright.methods import load_shipped

designer = Designer.of(load_shipped("gan-mdn-data-2"))
request = Request(target=parse_target("absorption=0.65", "absorption"), count=4, seed=0)
designs = exact_designs(designer, request).designs
print(designs.achieved[:, 0], designs.worst_rep)
print(designs.structures.shape, designs.phase_fraction)
