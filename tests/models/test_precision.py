import os
import subprocess
import sys

import pytest

ASK = "import torch; from zeroseg.models.precision import has_fast_bfloat16 as f; "
ASK += "print(f(torch.device('cpu')))"


@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_a_processor_that_torch_may_not_use_in_full_has_no_fast_bfloat16(capability):
    asked = subprocess.run(
        [sys.executable, "-c", ASK],
        env=os.environ
        | {"ATEN_CPU_CAPABILITY": capability, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.strip() == "False"
