"""Settings: every source, which one wins, and that an error names key, value, type and place."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from agentkernel.api import NoOptions, Options, SettingsError
from agentkernel.kernel.settings import CoreSettings, KernelSettings, Settings, load_settings


class Limits(msgspec.Struct, frozen=True):
    requests: int = 1


class ServerOptions(Options, frozen=True):
    base_url: str
    api_key: str = ""
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    retry: bool = True
    models: tuple[str, ...] = ()
    ports: list[int] | None = None
    mode: Literal["fast", "slow"] = "fast"
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    limits: Limits = Limits()
    max_tokens: int | None = None


@pytest.fixture(autouse=True)
def user_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's configuration directory, empty; so tests never read the real one."""
    directory = tmp_path / "home" / "agentkernel"
    directory.mkdir(parents=True)
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_, **__: directory)
    return directory


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    return directory


def load(project: Path, config: Any = None, /, **environ: str) -> Settings:
    return load_settings(config, environ=environ, cwd=project)


def write(directory: Path, text: str, name: str = "agentkernel.toml") -> Path:
    path = directory / name
    path.write_text(text)
    return path


def sources(settings: Settings) -> Mapping[str, str]:
    return {entry.key: entry.source for entry in settings.entries()}


# --- sources


def test_without_any_source_the_defaults_count(project: Path) -> None:
    settings = load(project)
    assert settings.kernel == KernelSettings()
    assert settings.kernel.order == "plas"
    assert settings.kernel.admission == ("slots",)
    assert (dict(settings.cores), settings.allow, settings.block) == ({}, (), ())


def test_each_source_wins_over_those_before_it(project: Path, user_directory: Path) -> None:
    write(user_directory, '[kernel]\norder="1"\nplacement="1"\nmax_retries=1\ntool_workers=1')
    write(project, '[kernel]\nplacement="2"\nmax_retries=2\ntool_workers=2')
    settings = load_settings(
        overrides={"kernel": {"tool_workers": 4}},
        environ={"AGENTKERNEL_KERNEL__MAX_RETRIES": "3", "AGENTKERNEL_KERNEL__TOOL_WORKERS": "3"},
        cwd=project,
    )
    kernel = settings.kernel
    found = (kernel.order, kernel.placement, kernel.max_retries, kernel.tool_workers)
    assert found == ("1", "2", 3, 4)


def test_a_config_mapping_takes_the_place_of_all_files(project: Path, user_directory: Path) -> None:
    write(user_directory, '[kernel]\norder="1"')
    write(project, '[kernel]\nplacement="2"\nmax_retries=2')
    environ = {"AGENTKERNEL_KERNEL__MAX_RETRIES": "3"}
    kernel = load_settings({"kernel": {"max_retries": 4}}, environ=environ, cwd=project).kernel
    assert (kernel.order, kernel.placement, kernel.max_retries) == ("plas", "affinity", 3)


def test_overrides_win_over_a_config_mapping(project: Path) -> None:
    given = {"kernel": {"order": "mapping", "placement": "mapping"}}
    overrides = {"kernel": {"order": "override"}}
    kernel = load_settings(given, overrides=overrides, environ={}, cwd=project).kernel
    assert (kernel.order, kernel.placement) == ("override", "mapping")


def test_tables_of_two_sources_are_joined_and_lists_replaced(
    project: Path, user_directory: Path
) -> None:
    write(user_directory, '[cores.a]\nplugin="x"\n[kernel]\ntools=["one", "two"]')
    write(project, '[cores.b]\nplugin="y"\n[kernel]\ntools=["three"]')
    settings = load(project)
    assert dict(settings.cores) == {
        "a": CoreSettings(name="a", plugin="x"),
        "b": CoreSettings(name="b", plugin="y"),
    }
    assert settings.kernel.tools == ("three",)


def test_pyproject_table_is_read_where_there_is_no_agentkernel_toml(project: Path) -> None:
    path = write(
        project, '[project]\nname="p"\n[tool.agentkernel.kernel]\norder="plas"', "pyproject.toml"
    )
    settings = load(project)
    assert settings.kernel.order == "plas"
    assert sources(settings)["kernel.order"] == f"{path}:4"


def test_agentkernel_toml_wins_over_pyproject(project: Path) -> None:
    write(project, '[tool.agentkernel.kernel]\norder="pyproject"', "pyproject.toml")
    write(project, '[kernel]\norder="own"')
    assert load(project).kernel.order == "own"


def test_broken_pyproject_without_our_table_is_not_ours(project: Path) -> None:
    write(project, "[project", "pyproject.toml")
    assert load(project).kernel == KernelSettings()


def test_config_variable_names_the_project_file(project: Path, user_directory: Path) -> None:
    write(user_directory, '[kernel]\nplacement="user"')
    write(project, '[kernel]\norder="project"')
    other = write(project, '[kernel]\norder="other"', "other.toml")
    for named in ("other.toml", str(other)):
        kernel = load(project, AGENTKERNEL_CONFIG=named).kernel
        assert (kernel.order, kernel.placement) == ("other", "user")


def test_explicit_path_replaces_user_and_project_file(project: Path, user_directory: Path) -> None:
    write(user_directory, '[kernel]\nplacement="user"')
    write(project, "[kernel]\nmax_retries=9")
    other = write(project, '[kernel]\norder="other"', "other.toml")
    for config in (other, str(other), "other.toml"):
        kernel = load(project, config).kernel
        assert kernel == KernelSettings(order="other")


@pytest.mark.parametrize("environ", [{}, {"AGENTKERNEL_CONFIG": "none.toml"}])
def test_named_file_that_is_missing_is_an_error(project: Path, environ: dict[str, str]) -> None:
    config = None if environ else "none.toml"
    with pytest.raises(SettingsError, match="a settings file that exists") as caught:
        load(project, config, **environ)
    assert caught.value.found == str(project / "none.toml")


def test_reading_settings_is_not_part_of_the_import() -> None:
    code = "import sys, agentkernel.kernel.settings; print('platformdirs' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# --- environment


def test_environment_text_takes_the_type_of_its_field(project: Path) -> None:
    kernel = load(
        project,
        AGENTKERNEL_KERNEL__MAX_WAITING="7",
        AGENTKERNEL_KERNEL__LLM_TIMEOUT_S="1.5",
        AGENTKERNEL_KERNEL__ADMISSION="slots, aimd",
        AGENTKERNEL_KERNEL__TOOLS="",
        AGENTKERNEL_KERNEL__ORDER="12",
        AGENTKERNEL_KERNEL__TOOL_TIMEOUT_S="null",
    ).kernel
    assert kernel == KernelSettings(
        max_waiting=7, llm_timeout_s=1.5, admission=("slots", "aimd"), tools=(), order="12"
    )


def test_environment_sets_options_of_plugins(project: Path) -> None:
    settings = load(
        project,
        AGENTKERNEL_CORES__MAIN__PLUGIN="openai",
        AGENTKERNEL_CORES__MAIN__BASE_URL="http://127.0.0.1:1/v1?a=1,2",
        AGENTKERNEL_CORES__MAIN__RETRY="false",
        AGENTKERNEL_CORES__MAIN__MODELS="a,b",
        AGENTKERNEL_CORES__MAIN__PORTS="1,2",
        AGENTKERNEL_CORES__MAIN__HEADERS__X="y",
        AGENTKERNEL_CORES__MAIN__LIMITS__REQUESTS="3",
    )
    assert settings.bind(ServerOptions, "cores", "main") == ServerOptions(
        base_url="http://127.0.0.1:1/v1?a=1,2",
        retry=False,
        models=("a", "b"),
        ports=[1, 2],
        headers={"x": "y"},
        limits=Limits(requests=3),
    )


def test_environment_finds_keys_that_it_cannot_spell(project: Path) -> None:
    write(project, '[cores.GPT-4]\nplugin="openai"\nbase_url="file"')
    settings = load(project, AGENTKERNEL_CORES__GPT_4__BASE_URL="environment")
    assert settings.bind(ServerOptions, "cores", "GPT-4").base_url == "environment"
    expected = "environment AGENTKERNEL_CORES__GPT_4__BASE_URL"
    assert sources(settings)["cores.GPT-4.base_url"] == expected


def test_environment_error_names_the_variable(project: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(project, AGENTKERNEL_KERNEL__MAX_WAITING="many")
    assert caught.value.source == "environment AGENTKERNEL_KERNEL__MAX_WAITING"
    assert (caught.value.key, caught.value.found) == ("kernel.max_waiting", "many")
    assert caught.value.expected == "an integer of at least 1"


def test_variables_without_double_underscore_are_no_settings(project: Path) -> None:
    assert load(project, AGENTKERNEL_DEBUG="1", OTHER__X="1").kernel == KernelSettings()


@pytest.mark.parametrize(
    "environ",
    [
        {"AGENTKERNEL_CORES__A": "x", "AGENTKERNEL_CORES__A__PLUGIN": "y"},
        {"AGENTKERNEL_CORES____PLUGIN": "y"},
        {"AGENTKERNEL_CORES__A": "x"},
    ],
)
def test_variable_that_stands_for_a_table_is_an_error(
    project: Path, environ: dict[str, str]
) -> None:
    with pytest.raises(SettingsError, match="environment AGENTKERNEL_CORES__"):
        load(project, **environ)


def test_only_the_environment_converts_text(project: Path) -> None:
    write(project, '[kernel]\nmax_waiting = "7"')
    with pytest.raises(SettingsError, match="an integer of at least 1, found '7'"):
        load(project)


# --- errors


@pytest.mark.parametrize(
    ("text", "key", "suggestion"),
    [
        ("[kernl]\n", "kernl", "kernel"),
        ("x = 1\n", "x", None),
        ("[kernel]\nmax_waitin = 1\n", "kernel.max_waitin", "max_waiting"),
        ("[plugins]\nblok = []\n", "plugins.blok", "block"),
    ],
)
def test_unknown_key_is_an_error_with_a_suggestion(
    project: Path, text: str, key: str, suggestion: str | None
) -> None:
    path = write(project, text)
    with pytest.raises(SettingsError) as caught:
        load(project)
    assert caught.value.key == key
    assert caught.value.source == f"{path}:{text.count(chr(10))}"
    assert (f"Did you mean '{suggestion}'?" in str(caught.value)) == (suggestion is not None)


def test_wrong_value_names_key_value_type_file_and_line(project: Path) -> None:
    path = write(project, "# first\n\n[kernel]\norder = 'fifo'\nretry_max_s = 'long' # why\n")
    with pytest.raises(SettingsError) as caught:
        load(project)
    assert str(caught.value) == (
        f"{path}:5: kernel.retry_max_s: expected a number of at least 0, found 'long'"
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("order = ''", "a non-empty string"),
        ("admission = 'slots'", "a list of non-empty strings"),
        ("admission = ['slots', 1]", "a list of non-empty strings"),
        ("llm_timeout_s = 0", "a number greater than 0"),
        ("tool_timeout_s = true", "a number greater than 0"),
        ("max_retries = -1", "an integer of at least 0"),
        ("max_retries = 1.5", "an integer of at least 0"),
    ],
)
def test_expected_type_is_said_in_words(project: Path, line: str, expected: str) -> None:
    write(project, f"[kernel]\n{line}")
    with pytest.raises(SettingsError) as caught:
        load(project)
    assert caught.value.expected == expected


def test_syntax_error_names_file_and_line(project: Path) -> None:
    path = write(project, "[kernel]\norder = \n")
    with pytest.raises(SettingsError) as caught:
        load(project)
    assert caught.value.source == f"{path}:2"


def test_file_that_is_no_text_is_a_settings_error(project: Path) -> None:
    (project / "agentkernel.toml").write_bytes(b"\xff\xfe[")
    with pytest.raises(SettingsError, match="TOML in UTF-8"):
        load(project)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("kernel = 3", "kernel"),
        ("[cores]\nmain = 3", "cores.main"),
        ("[order]\nfifo = 3", "order.fifo"),
        ("[cores.main]\nbase_url = 'x'", "cores.main.plugin"),
        ("[cores.main]\nplugin = 3", "cores.main.plugin"),
    ],
)
def test_wrong_shape_is_an_error(project: Path, text: str, key: str) -> None:
    path = write(project, text)
    with pytest.raises(SettingsError) as caught:
        load(project)
    assert caught.value.key == key
    assert caught.value.source.startswith(f"{path}:")


def test_argument_keys_must_be_strings(project: Path) -> None:
    with pytest.raises(SettingsError, match="keys that are strings"):
        load(project, {"kernel": {1: 2}})


# --- options of plugins


def test_bind_takes_the_table_without_its_plugin_key(project: Path) -> None:
    write(project, '[cores.main]\nplugin="openai"\nbase_url="u"\n[order.plas]\n')
    settings = load(project)
    assert settings.bind(ServerOptions, "cores", "main") == ServerOptions(base_url="u")
    assert settings.bind(NoOptions, "order", "plas") == NoOptions()
    assert settings.bind(NoOptions, "order", "not there") == NoOptions()


@pytest.mark.parametrize(
    ("line", "key", "expected"),
    [
        ("timeout_s = -1", "timeout_s", "a number greater than 0"),
        ("mode = 'medium'", "mode", "one of 'fast', 'slow'"),
        ("ports = ['x']", "ports", "a list of integers"),
        ("retry = 1", "retry", "true or false"),
        ("headers = { a = 'b', c = 1 }", "headers.c", "a string"),
        ("limits.requests = 'x'", "limits.requests", "an integer"),
        ("limits = { other = 1 }", "limits.other", "one of the keys requests"),
        ("limits = 1", "limits", "a table"),
        ("base_ulr = 'x'", "base_ulr", "one of the keys "),
    ],
)
def test_wrong_option_names_its_line(project: Path, line: str, key: str, expected: str) -> None:
    path = write(project, f"[cores.main]\nplugin='openai'\nbase_url='u'\n\n{line}\n")
    with pytest.raises(SettingsError) as caught:
        load(project).bind(ServerOptions, "cores", "main")
    assert caught.value.key == f"cores.main.{key}"
    assert caught.value.source == f"{path}:5"
    assert expected in caught.value.expected


def test_missing_option_names_the_line_of_its_table(project: Path) -> None:
    path = write(project, "\n[cores.main]\nplugin='openai'\n")
    with pytest.raises(
        SettingsError, match=r"required: set 'base_url' in \[cores.main\]"
    ) as caught:
        load(project).bind(ServerOptions, "cores", "main")
    assert caught.value.source == f"{path}:2"


def test_options_that_do_not_fit_together_are_a_settings_error(project: Path) -> None:
    class Range(Options, frozen=True):
        low: int = 0
        high: int = 0

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("low is above high")

    path = write(project, "[order.x]\nlow = 2\n")
    with pytest.raises(SettingsError, match="low is above high") as caught:
        load(project).bind(Range, "order", "x")
    assert caught.value.source == f"{path}:1"


def test_values_given_at_run_time_are_bound_without_the_configured_ones(project: Path) -> None:
    write(project, "[cores.main]\nplugin='openai'\nbase_url='file'\n")
    settings = load(project)
    bound = settings.bind_values(ServerOptions, {"base_url": "given"}, "cores", "main")
    assert bound == ServerOptions(base_url="given")
    with pytest.raises(SettingsError, match=r"argument: cores.main.base_url: .* required"):
        settings.bind_values(ServerOptions, {}, "cores", "main")


# --- what `ak config show` shows


def test_entries_are_sorted_and_say_where_each_value_comes_from(project: Path) -> None:
    path = write(project, '[kernel]\norder="plas"\n\n[cores.main]\nplugin="openai"\n')
    settings = load_settings(
        environ={"AGENTKERNEL_KERNEL__MAX_WAITING": "9"},
        overrides={"plugins": {"block": ["x"]}},
        cwd=project,
    )
    entries = settings.entries()
    assert [entry.key for entry in entries] == sorted(entry.key for entry in entries)
    shown = {entry.key: (entry.value, entry.source) for entry in entries}
    assert shown["kernel.order"] == ("plas", f"{path}:2")
    assert shown["cores.main.plugin"] == ("openai", f"{path}:5")
    assert shown["kernel.max_waiting"] == (9, "environment AGENTKERNEL_KERNEL__MAX_WAITING")
    assert shown["plugins.block"] == (("x",), "argument")
    assert shown["kernel.placement"] == ("affinity", "default")


def test_secrets_are_masked_in_entries_and_errors_only(project: Path) -> None:
    core = {
        "plugin": "p",
        "base_url": "u",
        "api_key": "sk-1",
        "max_tokens": 5,
        "headers": {"Authorization": "sk-2", "X-Secret": "sk-3"},
    }
    settings = load(project, {"cores": {"token": core}})
    shown = {entry.key: entry.value for entry in settings.entries()}
    assert "sk-" not in str(settings.entries())
    assert "sk-" not in repr(settings)
    assert shown["cores.token.api_key"] == "***"
    assert shown["cores.token.max_tokens"] == 5
    assert shown["cores.token.plugin"] == "p"
    assert settings.bind(ServerOptions, "cores", "token").api_key == "sk-1"
    with pytest.raises(SettingsError) as caught:
        load(project, {"cores": {"a": core | {"api_key": ["sk-4"]}}}).bind(
            ServerOptions, "cores", "a"
        )
    assert "sk-" not in str(caught.value)
