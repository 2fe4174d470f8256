"""What a worker does for the first time while records wait was compiled, and read from the caches, before."""

from __future__ import annotations

import subprocess
import sys

import pytest
from numba import config

FIRST_TIMES = """
import sys
import numpy as np
from schemas.columns import Topic
from schemas.decode import decode_batch
from streams import pipeline
from streams.checkpoint_log import CheckpointLog
from streams.settings import Settings

def loaded():
    named = {}
    for module, held in list(sys.modules.items()):
        if module.split(".")[0] in {"schemas", "detectors", "streams"}:
            named |= {(module, name): len(kernel.overloads) for name, kernel in vars(held).items()
                      if hasattr(kernel, "py_func") and kernel.__module__ == module}
    return named

settings = Settings()
pipeline.warm_up(settings)
before = loaded()
for make in (pipeline.build_actor_stage, pipeline.build_subject_stage, lambda _: pipeline.build_visit_stage(),
             pipeline.build_group_stage, lambda _: pipeline.MeetingStage()):
    stage, restored = make(settings), make(settings)
    if make is pipeline.build_actor_stage:
        stage.apply(decode_batch(Topic.LIKES, [pipeline._event(Topic.LIKES, n) for n in range(9)], None)[0])
    for name, table in stage.tables().items():
        table.rows_of(np.arange(1, 9, dtype=np.uint64))
        table.remove(table.coldest(1))
        restored.restore_rows(name, table.snapshot())
        restored.remove_keys(name, np.array([2], np.uint64))
        table.reserve(2 * table.capacity)
    CheckpointLog("first").take(stage)
print([name for name, count in loaded().items() if count != before[name]])
"""


@pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is compiled")
def test_checkpoints_restores_and_growth_compile_nothing_once_records_flow() -> None:
    """A first checkpoint held up the loop for seconds, and in an image that cannot be written to, at every start."""
    done = subprocess.run([sys.executable, "-c", FIRST_TIMES], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
