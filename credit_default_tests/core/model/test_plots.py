import base64
import io

import numpy as np
from PIL import Image

from credit_default.core.model.plots import all_plots
from credit_default.core.statistics.metrics import score_bands
from credit_default_tests.trained import model


def _of(trained):
    return all_plots(
        trained.test_labels, trained.test_probabilities, trained.bands, trained.importance, trained.threshold
    )


def test_every_picture_is_a_png_small_enough_for_a_runs_metadata():
    pictures = _of(model())
    assert set(pictures) == {"roc", "calibration", "score_distribution", "importance"}
    for png in pictures.values():
        with Image.open(io.BytesIO(png)) as picture:
            assert picture.format == "PNG"
            assert picture.size == (640, 420)
            # Something was drawn: a blank page has one colour.
            assert len(picture.convert("RGB").getcolors(1_000)) > 10
        assert len(base64.b64encode(png)) < 40_000


def test_equal_figures_give_equal_bytes():
    assert _of(model()) == _of(model())


def test_what_the_rows_cannot_show_is_not_drawn():
    labels, probabilities = np.zeros(5, int), np.linspace(0.1, 0.5, 5)
    one_class = all_plots(labels, probabilities, score_bands(labels, probabilities), {}, 0.5)
    assert set(one_class) == {"calibration", "score_distribution"}
    assert all_plots([], [], [], {}, 0.5) == {}


def test_drawing_leaves_pyplot_alone():
    import subprocess
    import sys

    code = "import credit_default.core.model.plots, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
