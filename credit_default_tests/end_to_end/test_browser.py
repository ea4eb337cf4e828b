"""The UI in a real browser: what a person sees on the graph, on an asset's page and on a failed run's page."""

from __future__ import annotations

import re
import shutil

import pytest
from playwright.sync_api import expect, sync_playwright

from credit_default_tests.end_to_end.server import Platform
from credit_default_tests.end_to_end.world import ago

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ASSETS = (
    "inference_data",
    "outcomes",
    "curated_data",
    "prepared_data",
    "data_quality_report",
    "trained_model",
    "registered_model",
    "batch_deployment",
    "batch_predictions",
    "drift_metrics",
    "model_performance",
)
#: No sandbox, since continuous integration runs as root; the rest keeps Chromium from looking for a network.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def ui(small_home, tmp_path_factory):
    """The address of a running platform in which a day has failed."""
    world = small_home.copy_to(tmp_path_factory.mktemp("browser") / "home")
    world.archive_landing()
    world.land(ago(0), "broken.parquet", b"PAR1 and no more")
    assert world.run_job("score_batch", ago(0)).returncode == 1
    platform = Platform(world)
    with platform.running():
        platform.failed_run = world.runs("score_batch")[0].run_id
        yield platform


@pytest.fixture
def page(ui):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        opened = browser.new_page(viewport={"width": 1800, "height": 1200}, base_url=f"http://127.0.0.1:{ui.port}")
        opened.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        errors = []
        opened.on("pageerror", lambda error: errors.append(str(error)))
        yield opened
        browser.close()
    assert not errors


def test_the_graph_shows_every_asset_in_its_group(page):
    page.goto("/asset-groups")
    for group in ("arrivals", "training_data", "model", "scoring", "monitoring"):
        expect(page.get_by_text(group, exact=True).first).to_be_visible()
    page.get_by_text("training_data", exact=True).last.wait_for()
    page.keyboard.press("Alt+KeyE")  # expand all groups
    for asset in ASSETS:
        # Long names are cut in the middle, so only their beginning is looked for.
        expect(page.get_by_text(re.compile(f"^{asset[:9]}")).first).to_be_visible()


def test_nobody_is_asked_for_an_email_address(page):
    page.goto("/asset-groups")
    expect(page.get_by_text("training_data", exact=True).first).to_be_visible()
    assert page.get_by_text("Join the Dagster community").count() == 0


def test_the_page_of_the_predictions_says_what_they_are(page):
    page.goto("/assets/batch_predictions?view=overview")
    expect(page.get_by_text("One probability of default for each accepted client of a day")).to_be_visible()
    expect(page.get_by_text("Calibrated probability of default (PD) next month")).to_be_visible()
    for shown in ("credit-risk", "score_batch", "inference_landing", "Freshness policy", "Row count"):
        expect(page.get_by_text(shown).first).to_be_visible()


def test_the_page_of_a_days_drift_shows_the_verdict_and_each_feature(page):
    page.goto(f"/assets/drift_metrics?view=partitions&partition={ago(1)}")
    for shown in ("violation", "n_drifted_features", "psi", "csi_limit", "credit_limit"):
        expect(page.get_by_text(shown, exact=True).first).to_be_visible()
    expect(page.get_by_text("report.html").first).to_be_visible()


def test_the_page_of_the_model_shows_its_plots_as_pictures(page):
    page.goto("/assets/trained_model?view=events")
    for figure in ("roc_auc", "brier", "calibration_slope"):
        expect(page.get_by_text(figure, exact=True).first).to_be_visible()
    page.get_by_role("row", name=re.compile("^roc ")).get_by_text("Show Markdown").click()
    picture = page.locator("img[alt=roc]")
    expect(picture).to_be_visible()
    assert picture.evaluate("picture => picture.naturalWidth") > 300


def test_the_page_of_a_failed_run_says_which_file_and_what_to_do(page, ui):
    page.goto(f"/runs/{ui.failed_run}")
    expect(page.get_by_text("1 of 1 day(s) failed").first).to_be_visible()
    expect(page.get_by_text(re.compile("broken.parquet.*Parquet")).first).to_be_visible()
    expect(page.get_by_text("Mend or remove what the messages name").first).to_be_visible()
    assert ago(0) in page.content()
