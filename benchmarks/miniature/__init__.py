"""The paper's claims in miniature: what `benchmarks/claims.py` is made of.

One thread a process: several train beside each other.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
