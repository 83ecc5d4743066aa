"""Completion of names, by the function and by real shells."""

import os
import shutil
import subprocess
import sys

import pytest

from sketchclip import cli
from sketchclip.commands.completion import candidates, command_names

# Prints what a shell shows for a line whose last word is being completed.
BASH = """
eval "$(sketchclip completion bash)"
COMP_WORDS=({words} "$LAST"); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_sketchclip
printf '%s\\n' "${{COMPREPLY[@]}}"
complete -p sketchclip
"""
ZSH = """
compdef() {{ print -r -- "compdef $*" }}
compadd() {{ print -rl -- "${{(@P)2}}" }}
_files() {{ print files }}
eval "$(sketchclip completion zsh)"
words=({words} "$LAST"); CURRENT=$#words
_sketchclip
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with two runs, one of them tested."""
    for name in ("doodles/version_0", "doodles/version_0/test", "doodles/a b"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "config.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_are_those_of_the_program():
    assert command_names() == sorted(cli._COMMANDS)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("val", ["validate"]),
        ("fit --model SpL", ["SpLIP", "SpLIPFineGrained"]),
        ("fit --model = SpL", ["SpLIP", "SpLIPFineGrained"]),  # as bash splits it
        ("fit --model=SpL", ["--model=SpLIP", "--model=SpLIPFineGrained"]),  # as zsh does
        ("fit --data Doo", ["Doodles"]),
        ("fit --config experiments/baselines/b_i", ["experiments/baselines/b_ip.yaml"]),
        ("fit --model SAKE --model.backbone sketch", ["sketchclip-mini"]),
        ("fit --lr_w", ["--lr_warmup"]),
        ("fit --optimizer AdamW", ["AdamW"]),
        ("fit --lr_scheduler Cos", ["CosineAnnealingLR", "CosineAnnealingWarmRestarts"]),
        ("fit --data.root ", []),  # files, which are the shell's to complete
        ("test --ckpt_path ", ["last", "best", "runs/doodles/a b", "runs/doodles/version_0"]),
        ("show runs/doodles/v", ["runs/doodles/version_0"]),
        ("show --bas", ["--baseline"]),
        ("ablate experiments/main/cat", ["experiments/main/category.yaml"]),
        ("list da", ["datasets"]),
        ("data che", ["check"]),
        ("nothing --", []),
    ],
)
def test_names_are_completed(folder, line, expected):
    assert candidates(line.split(" ")) == expected


def in_shell(folder, shell, script, words, last):
    """Lines that a shell prints, with a program of our name on its path."""
    program = folder / "bin" / "sketchclip"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sketchclip "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    root = os.path.dirname(os.path.dirname(cli.__file__))
    environment = {**os.environ, "PATH": path, "LAST": last, "PYTHONPATH": root}
    flags = ["--norc"] if shell.endswith("bash") else ["-f"]
    command = [shell, *flags, "-c", script.format(words=words)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes(folder):
    *found, registered = in_shell(folder, "bash", BASH, "sketchclip fit --model", "ZSES")
    assert found == ["ZSESBIR", "ZSESBIRFineGrained"]
    assert registered == "complete -o bashdefault -o default -F _sketchclip sketchclip"
    *found, _ = in_shell(folder, "bash", BASH, "sketchclip test --ckpt_path", "runs/doodles/a")
    assert found == ["runs/doodles/a\\ b"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh")
def test_zsh_completes(folder):
    registered, *found = in_shell(folder, "zsh", ZSH, "sketchclip fit --model", "ZSES")
    assert registered == "compdef _sketchclip sketchclip"
    assert found == ["ZSESBIR", "ZSESBIRFineGrained"]
    assert in_shell(folder, "zsh", ZSH, "sketchclip fit --data.root", "x")[1:] == ["files"]
