"""The picture of a report at the top of the README: what Chromium shows of the bundled sample's page, light.

python -m bench.picture
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .record import RESULTS

PICTURE = RESULTS / "report.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SIZE = "1000,1500"  # as far down the page as the picture goes
MOST_BYTES = 200_000


def main() -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit("no Chromium on the path")
    with tempfile.TemporaryDirectory() as folder:
        page, made = Path(folder) / "report.html", Path(folder) / "report.png"
        report = [sys.executable, "-m", "fastcal", "report", "--sample", "--html", str(page)]
        subprocess.run(report, check=True, stdout=subprocess.DEVNULL)
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-color-profile=srgb"]
        show = [f"--user-data-dir={folder}/profile", f"--window-size={SIZE}", f"--screenshot={made}", page.as_uri()]
        subprocess.run([browser, *flags, *show], check=True, capture_output=True, timeout=120)
        if made.stat().st_size > MOST_BYTES:
            sys.exit(f"the picture takes {made.stat().st_size:,} bytes, more than {MOST_BYTES:,}")
        shutil.copyfile(made, PICTURE)
    print(f"{PICTURE}: {PICTURE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
