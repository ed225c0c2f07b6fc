import re
import subprocess
from pathlib import Path

import pytest

from chatproject.services import nginx

ROOT = Path(__file__).parents[2]
SETTINGS = (ROOT / "chatproject" / "settings.py").read_text()
DOCUMENT = (ROOT / "docs" / "deployment.md").read_text()


@pytest.mark.parametrize("name", sorted(set(re.findall(r'env\.\w+\(\s*"([A-Z_]+)"', SETTINGS))))
def test_every_variable_that_is_read_is_documented(name):
    rows = [line.split("|")[1] for line in DOCUMENT.split("\n") if line.startswith("| `")]
    assert any(f"`{name}`" in row for row in rows)


def test_every_file_that_the_page_links_to_is_there():
    links = re.findall(r"\]\(([^)#:]+)\)", DOCUMENT)
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_nginx_accepts_what_the_template_becomes(tmp_path):
    config = nginx.write_config(tmp_path / "a folder", port=20_001, node_ports=[20_002, 20_003], open_files=4096)
    assert not re.search(r"@[A-Z]+@", config.read_text().split("\n\n", 1)[1])
    checked = subprocess.run([*nginx.nginx_command(config), "-t"], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr.count("successful")) == (0, 1)


def test_the_workers_of_nginx_count_the_nodes_connections_together(tmp_path):
    config = nginx.write_config(tmp_path, port=20_001, node_ports=[20_002], open_files=4096).read_text()
    assert re.search(r"upstream nodes \{[^}]*\bzone nodes \d+k;[^}]*\bleast_conn;", config)
