"""The page on services: its file and its modules, put where it says, answer what it shows."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.edge.edge_process import edge

PAGE = (Path(__file__).parents[2] / "docs" / "edge-services.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page asks with curl")
def test_the_example_answers_what_the_page_shows(tmp_path: Path) -> None:
    """Each command prints the line below it."""
    [file] = blocks("json")
    config = tmp_path / "gateway.json"
    config.write_text(json.dumps(json.loads(file)))
    for module in blocks("python"):
        path = tmp_path / module.partition("\n")[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(module)
    asked = [line.split("\n", 1) for block in blocks("console") for line in block.removeprefix("$ ").split("\n$ ")]
    asked = [each for each in asked if each[0].startswith("curl")]
    assert len(asked) == 4
    with edge(config, "--stand-ins", str(tmp_path / "stand-ins"), variables={"PARTNERS": "acme,zenith"}) as port:
        for command, shown in asked:
            here = command.replace(":8787", f":{port}")
            done = subprocess.run(["bash", "-c", here], capture_output=True, text=True, timeout=20, check=True)
            assert done.stdout == shown.strip(), command
