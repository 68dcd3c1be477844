"""``ak completion``: the script that makes a shell complete our commands."""

from __future__ import annotations

import click

__all__ = ["completion"]

_PLACES = {
    "bash": 'Add to ~/.bashrc:  eval "$({prog} completion bash)"',
    "fish": "Save it:  {prog} completion fish > ~/.config/fish/completions/{prog}.fish",
    "zsh": 'Add to ~/.zshrc, after compinit:  eval "$({prog} completion zsh)"',
}


@click.command(short_help="Print a shell's completion script.")
@click.argument("shell", type=click.Choice(sorted(_PLACES)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL, and say on a terminal where to put it."""
    from click.shell_completion import ShellComplete, get_completion_class

    root = context.find_root()
    prog = root.info_name or "ak"
    kind = get_completion_class(shell)
    assert kind is not None
    variable = f"_{prog}_COMPLETE".replace("-", "_").upper()
    script = kind(root.command, {}, prog, variable)
    click.echo(ShellComplete.source(script))  # that of bash would run bash to ask for its version
    click.echo(f"# {_PLACES[shell].format(prog=prog)}", err=True)
