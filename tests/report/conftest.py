"""What the report's tests share: the browser that opens pages and draws images."""

import os
import shutil

import pytest


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of a chromium or chrome; without one skip, but fail where CI should have it."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if found := shutil.which(name):
            return found
    if os.environ.get("CI"):
        pytest.fail("no chromium or chrome on the PATH; continuous integration must have one")
    pytest.skip("no chromium or chrome on the PATH")
