"""``ak config``: entries with sources, secrets masked; the files that are looked at."""

from __future__ import annotations

import json
import os
from pathlib import Path

from agentkernel.cli.config_files import project_file, settings_files
from agentkernel.kernel.settings import load_settings


def test_setting_is_shown_with_its_source(ak, here):
    (here / "agentkernel.toml").write_text('[kernel]\n\norder = "mine"\n')
    entries = {entry["key"]: entry for entry in json.loads(ak("config", "show", "--json").output)}
    source = f"{here / 'agentkernel.toml'}:3"
    assert entries["kernel.order"] == {"key": "kernel.order", "value": "mine", "source": source}
    assert entries["kernel.placement"]["source"] == "default"


def test_secrets_are_masked(ak, here):
    text = '[cores.main]\nplugin = "openai"\napi_key = "sk-secret"\n'
    (here / "agentkernel.toml").write_text(text)
    for arguments in (("config", "show"), ("config", "show", "--json")):
        output = ak(*arguments).output
        assert "cores.main.api_key" in output
        assert "sk-secret" not in output


def test_table_is_not_wrapped_where_the_output_is_no_terminal(ak, here):
    (here / "agentkernel.toml").write_text(f'[kernel]\norder = "{"long" * 100}"\n')
    assert "long" * 100 in ak("config", "show").output


def test_named_file_takes_the_place_of_the_projects(ak, here):
    (here / "agentkernel.toml").write_text('[kernel]\norder = "mine"\n')
    (here / "other.toml").write_text('[kernel]\nplacement = "other"\n')
    shown = ak("config", "show", "--config", "other.toml", "--json").output
    entries = {entry["key"]: entry["value"] for entry in json.loads(shown)}
    assert (entries["kernel.order"], entries["kernel.placement"]) == ("plas", "other")


def test_named_file_that_is_missing_is_refused(ak):
    assert ak("config", "show", "--config", "missing.toml").exit_code == 2


def test_files_are_listed_with_whether_they_are_read(ak, here):
    (here / "agentkernel.toml").write_text("")
    (here / "pyproject.toml").write_text("")
    files = json.loads(ak("config", "path", "--json").output)
    states = {Path(file["path"]).name: (file["exists"], file["read"]) for file in files[1:]}
    assert states == {"agentkernel.toml": (True, True), "pyproject.toml": (True, False)}
    assert files[0]["role"] == "user"
    assert not files[0]["exists"]
    assert "missing" in ak("config", "path").output


def test_files_that_are_listed_as_read_are_those_that_the_kernel_reads(here, tmp_path):
    user = Path(os.environ["XDG_CONFIG_HOME"]) / "agentkernel" / "agentkernel.toml"
    texts = {
        user: "[kernel]\nmax_waiting = 1\n",
        here / "agentkernel.toml": "[kernel]\nmax_waiting = 2\n",
        here / "pyproject.toml": "[tool.agentkernel.kernel]\nmax_waiting = 3\n",
        tmp_path / "named.toml": "[kernel]\nmax_waiting = 4\n",
    }
    user.parent.mkdir(parents=True)
    for path, text in texts.items():
        path.write_text(text)
    named = {**os.environ, "AGENTKERNEL_CONFIG": str(tmp_path / "named.toml")}
    for environ in (named, dict(os.environ), dict(os.environ)):
        last = [file.path for file in settings_files(environ, here) if file.read][-1]
        settings = load_settings(environ=environ, cwd=here)
        assert f"max_waiting = {settings.kernel.max_waiting}\n" in texts[Path(last)]
        assert project_file(environ, here) == Path(last)
        if environ is not named:
            (here / "agentkernel.toml").unlink(missing_ok=True)


def test_no_file_is_no_project_file(here):
    assert project_file(os.environ, here) is None
