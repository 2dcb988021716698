"""A headless Chromium for tests: Debian's, driven by selenium; what it logs and which addresses it asks for."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

AXE = "axe-core@4.14.1"


def start_browser(profile: Path) -> Any:
    """A browser, or a skip that says what is missing."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (extra `test`)")
    from selenium.webdriver.chrome.service import Service

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no chromium with chromedriver on this machine (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"):
        options.add_argument(flag)
    options.add_argument("--disable-background-networking")
    options.add_argument(f"--user-data-dir={profile}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(driver))


def look(browser: Any, width: int, dark: bool) -> None:
    """Set the window's width and the colour scheme."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def complaints(browser: Any) -> list[str]:
    """Return the warnings and errors on the console since the last call."""
    return [e["message"] for e in browser.get_log("browser") if e["level"] in ("SEVERE", "WARNING")]


def requested(browser: Any) -> set[str]:
    """Every address asked for since the last call, but data: addresses."""
    messages = [json.loads(e["message"])["message"] for e in browser.get_log("performance")]
    urls = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    return {u for u in urls if not u.startswith("data:")}


def axe_source(folder: Path) -> str:
    """axe-core's script from npm, kept in `folder`; a skip where npm or the registry cannot be reached."""
    script = folder / "package" / "axe.min.js"
    if not script.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("no npm on this machine: axe-core cannot be fetched")
        try:
            subprocess.run([npm, "pack", AXE], cwd=folder, check=True, capture_output=True, timeout=120)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            pytest.skip(f"npm could not fetch {AXE}")
        shutil.unpack_archive(next(folder.glob("axe-core-*.tgz")), folder, filter="data")
    return script.read_text(encoding="utf-8")


def faults(browser: Any, axe: str) -> list[str]:
    """The accessibility faults, but minor ones, that axe-core finds on the page, with the first place of each."""
    # The page's own policy allows no foreign script: the debugger's protocol evaluates it outside that policy.
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})
    asked = "axe.run({resultTypes: ['violations'], preload: false}).then((r) => JSON.stringify(r.violations))"
    got = browser.execute_cdp_cmd(
        "Runtime.evaluate", {"expression": asked, "awaitPromise": True, "returnByValue": True}
    )
    found = json.loads(got["result"]["value"])
    return [
        f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:160]} ({len(v['nodes'])} places)"
        for v in found
        if v["impact"] != "minor"
    ]
