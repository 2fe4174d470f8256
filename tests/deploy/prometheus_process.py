"""A real Prometheus that scrapes a worker every second, with the project's own rules hurried for a drill."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, Self

from deploy.prometheus import render
from tests.deploy.tools import tool
from tests.integration.worker_process import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

CONFIG = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [recording.yaml, alerts.yaml]
scrape_configs:
  - job_name: boostwatch
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Prometheus:
    """Started on entering, gone on leaving; its data are the folder's."""

    def __init__(self, folder: Path, worker_port: int, faster: float, changes: Mapping[str, str]) -> None:
        self._url = f"http://127.0.0.1:{(port := free_port())}/api/v1/"
        for name, text in render.render(render.thresholds(changes), faster).items():
            (folder / name).write_text(text, encoding="utf-8")
        (folder / "prometheus.yml").write_text(CONFIG.format(port=worker_port), encoding="utf-8")
        self._log = (folder / "prometheus.log").open("wb")
        self._process = subprocess.Popen(
            [
                tool("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(30)
        self._log.close()

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer; None while it is not up yet."""
        url = f"{self._url}{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 -- our own
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None
        except OSError:
            return None

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an expression has now."""
        found = self.ask("query", query=expression)
        return list(found["result"]) if found is not None else []

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        found = self.ask("alerts")
        return {one["labels"]["alertname"] for one in found["alerts"] if one["state"] == "firing"} if found else set()

    def until(self, what: Callable[[], bool], told: str, within_s: float = 90) -> None:
        """Wait until something is so."""
        end = time.monotonic() + within_s
        while not what():
            assert time.monotonic() < end, f"not within {within_s} s: {told}; firing: {self.firing()}"
            time.sleep(0.25)

    def until_firing(self, *names: str) -> None:
        """Wait until all of these fire."""
        self.until(lambda: set(names) <= self.firing(), f"{names} fire")

    def until_silent(self, *names: str) -> None:
        """Wait until none of these fires."""
        self.until(lambda: not set(names) & self.firing(), f"{names} are over")
