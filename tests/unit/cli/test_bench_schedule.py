"""``ak bench schedule``: a recording in, a ranking out."""

from __future__ import annotations

import builtins
import json
import random
from pathlib import Path

import pytest

HEADER = {"format": "agentkernel-recording", "version": 1, "kernel": "0.1.0", "settings": {}}
SMALL = ("--cores", "2", "--slots", "2", "--kv-tokens", "20000", "--load", "3")


def entry(program: int, begin: float, end: float, prompt: int, output: int) -> dict[str, object]:
    return {
        "process": 1,
        "program": f"coder-{program}",
        "agent": "coder",
        "tenant": "default",
        "kind": "llm",
        "submitted_s": begin,
        "started_s": begin,
        "ended_s": end,
        "prompt_tokens": prompt,
        "output_tokens": output,
    }


@pytest.fixture
def recording(here: Path) -> str:
    """Forty programs, most of them short, some long."""
    chance, lines = random.Random(3), [json.dumps(HEADER)]
    for program in range(40):
        now, prompt = 2.0 * program, 1_000
        for _ in range(chance.choice((1, 2, 2, 12))):
            output = chance.randrange(20, 400)
            lines.append(json.dumps(entry(program, now, now + 1.0, prompt, output)))
            now, prompt = now + 1.5, prompt + output + chance.randrange(10, 300)
    (here / "run.jsonl").write_text("\n".join(lines) + "\n")
    return "run.jsonl"


def ranking(here: Path, name: str = "figures.json") -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((here / name).read_text())["scheduling"]
    return found


def test_baselines_and_installed_orders_take_part_best_first(ak, here, recording):
    result = ak("bench", "schedule", recording, *SMALL, "--json", "figures.json")
    assert result.exit_code == 0, result.output
    names = [each["name"] for each in ranking(here)]
    assert {"uncoordinated", "sticky", "backoff", "fifo", "plas, affinity"} <= set(names)
    means = [each["mean_s"] for each in ranking(here)]
    assert means == sorted(means)
    places = [result.stdout.index(f"\n {name} ") for name in names]
    assert places == sorted(places)


def test_orders_that_are_named_take_part_and_no_others(ak, here, recording):
    named = ("--order", "plas", "--order", "fifo", "--placement", "affinity")
    ak("bench", "schedule", recording, *named, *SMALL, "--json", "figures.json")
    assert {each["name"] for each in ranking(here)} == {
        *("uncoordinated", "sticky", "backoff", "fifo", "oracle, affinity"),
        *("fifo, affinity", "plas, affinity"),
    }


def test_admissions_are_combined(ak, here, recording):
    named = ("--order", "fifo", "--placement", "least_loaded", "--admission", "slots,aimd")
    ak("bench", "schedule", recording, *named, *SMALL, "--json", "figures.json")
    found = {each["name"]: each["settings"] for each in ranking(here)}
    fifo = {"order": "fifo", "placement": "least_loaded"}
    assert found["fifo, least_loaded, aimd"] == {**fifo, "admission": ["slots", "aimd"]}
    assert found["fifo"] == fifo
    assert found["plas, affinity"] == {}
    assert found["sticky"] is None


def test_kv_budget_takes_part_with_the_caches_of_the_servers(ak, here, recording):
    ak("bench", "schedule", recording, *SMALL, "--json", "a.json")
    (here / "agentkernel.toml").write_text("[admission.kv_budget]\ntokens_per_core = 4000\n")
    ak("bench", "schedule", recording, *SMALL, "--json", "b.json")
    a, b = (
        {each["name"]: each["mean_s"] for each in ranking(here, name)}
        for name in ("a.json", "b.json")
    )
    assert a["plas, affinity"] == b["plas, affinity"] != a["plas, affinity, kv_budget"]
    assert a["plas, affinity, kv_budget"] != b["plas, affinity, kv_budget"]


def test_equal_recordings_give_equal_figures(ak, here, recording):
    results = [
        ak("bench", "schedule", recording, *SMALL, "--json", f"{name}.json") for name in "ab"
    ]
    assert results[0].output == results[1].output
    assert (here / "a.json").read_bytes() == (here / "b.json").read_bytes()


def test_advice_is_what_the_figures_say(ak, here, recording):
    (here / "agentkernel.toml").write_text("[order.plas]\nage_s = 0.001\n")  # makes it a poor fifo
    result = ak("bench", "schedule", recording, *SMALL, "--json", "figures.json")
    figures = json.loads((here / "figures.json").read_text())
    assert figures["recommended"]["kernel"]
    for table, values in figures["recommended"].items():
        for key, value in values.items():
            assert f"{key} = {json.dumps(value)}" in result.stdout
        assert f"[{table}]" in result.stdout


def test_default_settings_are_kept_where_nothing_waits(ak, recording):
    result = ak("bench", "schedule", recording, "--cores", "8")
    assert "Keep the default settings" in result.stdout
    assert "--load 0.85" in result.stdout


def test_hardware_that_is_assumed_is_said(ak, recording):
    result = ak("bench", "schedule", recording, *SMALL, "--decode-ms", "30")
    first = result.stdout.splitlines()[0]
    assert "2 assumed servers, each with 2 slots, a KV cache of 20,000 tokens" in first
    assert "30 ms + 0.3 ms a call" in first
    assert "at load 3" in first


def test_options_in_the_settings_file_count(ak, here, recording):
    options = ("--order", "plas", *SMALL)
    ak("bench", "schedule", recording, *options, "--json", "a.json")
    (here / "agentkernel.toml").write_text("[order.plas]\nscale_s = 10000.0\n")
    ak("bench", "schedule", recording, *options, "--json", "b.json")
    a, b = (
        {each["name"]: each["mean_s"] for each in ranking(here, name)}
        for name in ("a.json", "b.json")
    )
    assert a["plas, affinity"] != b["plas, affinity"]
    assert a["fifo"] == b["fifo"]


def test_last_line_that_was_cut_off_is_a_warning(ak, here, recording):
    text = (here / recording).read_text()
    (here / recording).write_text(text + '{"process": 1, "prog')
    result = ak("bench", "schedule", recording, "--order", "fifo")
    assert result.exit_code == 0
    assert "the last line was cut off" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("missing.jsonl",), "missing.jsonl: cannot be read"),
        (("run.jsonl", "--order", "plass"), "plas"),
        (("run.jsonl", "--placement", "near"), "placement plugin 'near'"),
        (("run.jsonl", "--admission", "slots,aimdd"), "Did you mean 'aimd'"),
        (("run.jsonl", "--plot", "a.pdf"), "ends in .svg or .png"),
        (("run.jsonl", "--order", "fifo", "--json", "missing/a.json"), "cannot be written"),
        (("run.jsonl", "--cores", "0"), "--cores"),
    ],
)
def test_wrong_usage_is_said(ak, recording, arguments, said):
    result = ak("bench", "schedule", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_recording_without_llm_calls_is_said_to_have_none(ak, here):
    tool = {**entry(1, 0.0, 1.0, 0, 0), "kind": "tool"}
    (here / "run.jsonl").write_text(f"{json.dumps(HEADER)}\n{json.dumps(tool)}\n")
    result = ak("bench", "schedule", "run.jsonl")
    assert result.exit_code == 2
    assert "holds no LLM call that can be simulated: only tool calls" in result.stderr


def test_load_needs_arrivals(ak, here):
    lines = [json.dumps(HEADER), json.dumps(entry(1, 0.0, 1.0, 100, 10))]
    (here / "run.jsonl").write_text("\n".join(lines) + "\n")
    result = ak("bench", "schedule", "run.jsonl", "--load", "0.5")
    assert result.exit_code == 2
    assert "Leave --load out" in result.stderr
    assert "arriving all at once" in ak("bench", "schedule", "run.jsonl").stdout


def test_order_that_is_installed_and_broken_is_left_out(process, here, site, recording):
    site.add(
        "agentkernel-order-broken",
        modules={"broken_order.py": "raise RuntimeError('broken')"},
        plugins={"order:broken": "broken_order"},
    )
    done = process("bench", "schedule", recording, *SMALL)
    assert done.returncode == 0
    assert "broken, affinity is left out" in done.stderr
    assert "plas, affinity" in done.stdout


@pytest.mark.parametrize(("name", "begins"), [("plot.svg", b"<?xml"), ("plot.png", b"\x89PNG\r\n")])
def test_plot_is_an_image_and_the_same_each_time(ak, here, recording, name, begins):
    images = []
    for _ in range(2):
        result = ak("bench", "schedule", recording, "--order", "plas", *SMALL, "--plot", name)
        assert result.exit_code == 0, result.output
        images.append((here / name).read_bytes())
    assert images[0].startswith(begins)
    assert images[0] == images[1]


def test_plot_without_matplotlib_says_what_to_install(ak, here, recording, monkeypatch):
    real = builtins.__import__

    def without_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError("No module named 'matplotlib'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    result = ak("bench", "schedule", recording, "--plot", "plot.svg")
    assert result.exit_code == 2
    assert "pip install 'agentkernel[bench]'" in result.stderr
    assert not (here / "plot.svg").exists()
