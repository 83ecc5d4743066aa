"""Lists of files need no PyTorch."""

import subprocess
import sys

from tests.helpers.paths import REPOSITORY


def test_a_catalogue_comes_without_pytorch():
    code = (
        "import sys;"
        "from data_modules.splits.catalogue import Catalogue;"
        "from data_modules.splits.classes import SplitSettings;"
        "from data_modules.splits.dataset_files import Dataset, DatasetFiles;"
        "catalogue = Catalogue(DatasetFiles(Dataset(), '.'), SplitSettings());"
        "sys.exit(str([m for m in ('torch', 'lightning', 'cv2') if m in sys.modules]))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.stderr.strip().endswith("[]"), done.stderr
