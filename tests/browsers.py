"""A headless Chromium for tests that look at pages, and what they ask it."""

from __future__ import annotations

import json
import os
import shutil

import pytest

BINARIES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
)
# What a page does that it should not is remembered from before its first line runs.
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => violations.push(event.blockedURI || event.sourceFile));
window.alert = () => violations.push("alert");
window.addEventListener("error", (event) => violations.push(event.message));
"""


class Browser:
    """One window; ``open`` shows a file as it would be seen under some conditions."""

    def __init__(self, folder):
        webdriver = pytest.importorskip("selenium.webdriver", reason='the browser needs pip install "fastcal[bench]"')
        from selenium.webdriver.chrome.service import Service

        binary = next(filter(None, map(shutil.which, BINARIES)), None)
        driver = shutil.which("chromedriver")
        if binary is None or driver is None:
            pytest.skip("no chromium, or no chromedriver, on the path")
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(driver, log_output=os.devnull))
        self.command("Page.addScriptToEvaluateOnNewDocument", source=WATCH)

    def command(self, name, **arguments):
        return self.driver.execute_cdp_cmd(name, arguments)

    def open(self, path, *, width=1280, dark=False, media="", scripts=True):
        """Show a file; returns the addresses that were asked for, without its own."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.command("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.logged()
        self.driver.get(path.as_uri())
        events = [json.loads(one["message"])["message"] for one in self.driver.get_log("performance")]
        asked = [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]
        return [address for address in asked if address not in (path.as_uri(), "data:,")]

    def logged(self):
        """What the console said since this was last asked."""
        self.driver.get_log("performance")
        return [one["message"] for one in self.driver.get_log("browser")]

    def ask(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def press(self, *keys):
        """Type keys where the focus is."""
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def named(self, *roles):
        """The names, as assistive technology hears them, of all elements in some roles."""
        nodes = self.command("Accessibility.getFullAXTree")["nodes"]
        shown = [one for one in nodes if not one["ignored"] and one["role"]["value"] in roles]
        return [one.get("name", {}).get("value", "") for one in shown]
