"""torch.compile as a setting. Compiled code and the hook that checks shapes do not get along, so
these trainings run in a process without it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from actionclip.errors import ActionCLIPError
from actionclip.training.spread.compiled import compiled
from training_runs import SETTINGS, metrics, run, small_model

PROGRAM = """
import functools, json, pathlib, sys
from dataclasses import replace
import torch
from training_runs import SETTINGS, metrics, run, small_model

torch.set_num_threads(1)
folder, backend = pathlib.Path(sys.argv[1]), sys.argv[2]
if backend != "inductor":
    torch.nn.Module.compile = functools.partialmethod(torch.nn.Module.compile, backend=backend)
model = small_model(inner="shift", post="transf")
names = list(model.state_dict())
run(folder, replace(SETTINGS, compile=True), model=model)
assert list(model.state_dict()) == names
blocks = [m for m in model.modules() if type(m).__name__ == "ResidualAttentionBlock"]
assert len(blocks) == 8 and all(block._compiled_call_impl is None for block in blocks)
print(json.dumps(torch._dynamo.utils.counters["stats"]["unique_graphs"]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_blocks_learn_as_ordinary_ones_do(tmp_path, backend):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "compiled"), backend],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path]),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) > 0  # something was compiled
    run(tmp_path / "ordinary", SETTINGS, model=small_model(inner="shift", post="transf"))
    found, expected = (metrics(tmp_path / name) for name in ("compiled", "ordinary"))
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_model_without_blocks_is_refused():
    model = small_model()
    model.backbone.clip.visual = model.backbone.clip.transformer = None

    with pytest.raises(ActionCLIPError, match="no transformer block"), compiled(model, True):
        pass
