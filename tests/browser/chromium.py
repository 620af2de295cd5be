"""A real browser, and one that is signed in to Airflow as a person signs in."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver; scripts/test --install"),
]
"""Of every module whose tests look at pages."""

SWITCHES = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1500,1000", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"),
)

PATIENCE = 60
"""Seconds that a page may take on a busy machine."""


@contextmanager
def opened() -> Iterator[webdriver.Chrome]:
    """A browser with no history."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for switch in SWITCHES:
        options.add_argument(switch)
    with webdriver.Chrome(options=options, service=Service(str(DRIVER))) as browser:
        yield browser


@contextmanager
def signed_in(address: str, password: str) -> Iterator[webdriver.Chrome]:
    """A browser in which admin has signed in to the Airflow at an address."""
    with opened() as browser:
        browser.get(address)
        shown(browser, lambda: browser.find_element(By.NAME, "username")).send_keys("admin")
        browser.find_element(By.NAME, "password").send_keys(password + Keys.ENTER)
        shown(browser, lambda: "Dags" in text(browser))
        yield browser


def shown(browser: webdriver.Chrome, what: Callable[[], Any]) -> Any:
    """Wait until the page shows something; a page that is being redrawn counts as not showing it."""
    return WebDriverWait(browser, PATIENCE, ignored_exceptions=[Exception]).until(lambda _: what())


def text(browser: webdriver.Chrome) -> str:
    """All that the page says."""
    return browser.find_element(By.TAG_NAME, "body").text
