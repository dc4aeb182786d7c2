"""The page in a real browser: it must never scroll sideways, on a phone or on a desk, folded or unfolded."""

import html
import os
import re
import shutil
import subprocess

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
)  # fmt: skip
# The page stands in a frame of the width under test: a window has a least width, and the page runs no script.
HARNESS = """<!doctype html><meta charset="utf-8">
<iframe style="border:0;width:{width}px;height:900px" srcdoc="{page}">
</iframe><output></output><script>
document.querySelector("iframe").onload = (event) => {{
  const root = event.target.contentDocument.documentElement;
  const text = root.querySelectorAll("svg path.curve").length;
  document.querySelector("output").textContent =
    "width=" + root.scrollWidth + " inner=" + event.target.contentWindow.innerWidth + " curves=" + text;
}};
</script>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def measure(page: str, width: int, folder) -> dict[str, int]:
    (folder / "harness.html").write_text(HARNESS.format(width=width, page=html.escape(page)), encoding="utf-8")
    command = [
        CHROMIUM,
        *FLAGS,
        f"--user-data-dir={folder / 'profile'}",
        "--window-size=1400,1000",
        "--dump-dom",
    ]
    done = subprocess.run(
        [*command, (folder / "harness.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True, env=os.environ | {"HOME": str(folder)},
    )  # fmt: skip
    said = re.search(r"<output>(.*?)</output>", done.stdout).group(1)
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", said)}


@pytest.mark.parametrize("width", [320, 400, 800, 1280])
@pytest.mark.parametrize("unfolded", [False, True])
def test_page_never_scrolls_sideways(run_folder, page, tmp_path, width, unfolded):
    written = page(run_folder, "Tiny: English to Japanese, with aVeryLongNameThatHasNoBreak" + "x" * 80)
    if unfolded:
        written = written.replace("<details", "<details open")
    found = measure(written, width, tmp_path)
    assert found["inner"] == width
    assert found["curves"] > 20
    assert found["width"] <= width
