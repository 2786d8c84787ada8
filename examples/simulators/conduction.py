"""A simulator of its own: the effective conductivity of a periodic microstructure by scikit-fem.

It knows nothing of microwright: it reads ``structure.npy`` (0 and 1), solves the cell problem
div k(x)(grad u + e_i) = 0 with periodic u on one square element a pixel, and writes ``result.json``.
"""

import json
import sys
from pathlib import Path

import numpy as np
import scipy.sparse as sparse
import scipy.sparse.linalg
from skfem import Basis, BilinearForm, ElementQuad1, LinearForm, MeshQuad
from skfem.helpers import dot, grad

CONDUCTIVITY = np.array([1.0, 10.0])  # of phases 0 and 1, W/(m K)


@BilinearForm
def conduction(u, v, w):
    return w.k * dot(grad(u), grad(v))


@LinearForm
def driven_along_x(v, w):
    return -w.k * grad(v)[0]


@LinearForm
def driven_along_y(v, w):
    return -w.k * grad(v)[1]


def periodic_nodes(points, shape):
    """For each node of the grid the number of its first image: the last row and column repeat the first."""
    i, j = (np.rint(points[axis]).astype(int) % shape[axis] for axis in (0, 1))
    return i * shape[1] + j


phase = np.load(sys.argv[1])
mesh = MeshQuad.init_tensor(*(np.arange(n + 1.0) for n in phase.shape))
basis = Basis(mesh, ElementQuad1(), intorder=2)
cells = tuple(mesh.p[axis][mesh.t].mean(0).astype(int) for axis in (0, 1))
k = CONDUCTIVITY[phase[cells]][:, None] * np.ones_like(basis.dx)

nodes = periodic_nodes(mesh.p, phase.shape)
wrap = sparse.csr_matrix((np.ones(len(nodes)), (np.arange(len(nodes)), nodes)))
stiffness = (wrap.T @ conduction.assemble(basis, k=k) @ wrap).tocsc()
loads = np.stack([wrap.T @ form.assemble(basis, k=k) for form in (driven_along_x, driven_along_y)], axis=1)
u = np.zeros_like(loads)
u[1:] = scipy.sparse.linalg.splu(stiffness[1:, 1:]).solve(loads[1:])  # node 0 is held at zero

effective = ((k * basis.dx).sum() * np.eye(2) - loads.T @ u) / phase.size
conductivity = {"k11": effective[0, 0], "k22": effective[1, 1], "k12": effective[0, 1]}
Path("result.json").write_text(json.dumps({"conductivity": conductivity}))
