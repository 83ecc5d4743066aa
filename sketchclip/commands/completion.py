"""``sketchclip completion``: commands, classes, experiments and runs completed by the tab key."""

import re
from collections.abc import Sequence
from pathlib import Path

from sketchclip.commands.arguments import TRAINER_COMMANDS, Parser
from sketchclip.commands.list import KINDS
from sketchclip.errors import SketchClipError, printable
from sketchclip.runs.folder import LAST, ROOT

_EXAMPLES = """one line in ~/.bashrc, or in ~/.zshrc after compinit:
  eval "$(sketchclip completion bash)"
  eval "$(sketchclip completion zsh)"
"""
# Both ask 'sketchclip completion words' for what may follow; files are completed as usual else.
_SCRIPTS = {
    "bash": r"""_sketchclip() {
  local word
  COMPREPLY=()
  while IFS= read -r word; do
    COMPREPLY+=("$(printf %q "$word")")
  done < <("${COMP_WORDS[0]}" completion words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o bashdefault -o default -F _sketchclip sketchclip
""",
    "zsh": r"""_sketchclip() {
  local -a found
  found=("${(@f)$("${words[1]}" completion words "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "${found[1]}" ]]; then compadd -a found; else _files; fi
}
compdef _sketchclip sketchclip
""",
}
_VALUES = {
    **dict.fromkeys(("--config", "-c"), "experiments"),
    **dict.fromkeys(("--model.backbone", "--backbone"), "backbones"),
    **{"--model": "methods", "--data": "datasets", "--ckpt_path": "checkpoints"},
    **{"--optimizer": "Optimizer", "--lr_scheduler": "LRScheduler"},
}
"""What the value of an option names."""
_WORDS = {"list": KINDS, "data": ("check", "prepare"), "completion": tuple(_SCRIPTS)}
"""Words that a command takes."""
_OF_RUNS = frozenset({"show", "plot", "compare", "export", "table"})
"""Commands that take folders of runs."""
_OPTIONS = (
    *("--help", "--print_config", "--seed_everything", "--config", "--ckpt_path"),
    *("--model", "--model.help", "--model.backbone", "--model.pretrained"),
    *("--data", "--data.help", "--data.root", "--data.split", "--data.batch_size"),
    *("--data.num_workers", "--data.validation", "--data.seed", "--grids.queries"),
    *("--trainer.max_epochs", "--trainer.max_steps", "--trainer.accelerator", "--trainer.devices"),
    *("--trainer.precision", "--trainer.logger", "--trainer.callbacks+", "--trainer.fast_dev_run"),
    *("--trainer.gradient_clip_val", "--trainer.accumulate_grad_batches", "--speed.compile"),
    *("--optimizer", "--lr_scheduler", "--lr_warmup", "--lr_interval", "--ema.decay"),
)
"""Options of fit, validate, test and predict that are typed most; the whole list takes seconds."""


def run(args: Sequence[str]) -> list[str]:
    """Run the command.

    Args:
        args: Arguments after the command: a shell, or ``words`` and those typed so far.

    Returns:
        Lines that were printed.
    """
    if args and args[0] == "words":
        try:
            lines = candidates(args[1:])
        except SketchClipError:  # no place for messages while a line is typed
            lines = []
        print("".join(f"{printable(line)}\n" for line in lines), end="")
        return lines
    parser = Parser(prog="sketchclip completion", description=__doc__, epilog=_EXAMPLES)
    parser.add_argument("shell", choices=tuple(_SCRIPTS), help="prints its script")
    script = _SCRIPTS[parser.parse_args(list(args)).shell]
    print(script, end="")
    return script.splitlines()


def candidates(words: Sequence[str]) -> list[str]:
    """List what the last of the typed words may become.

    Args:
        words: Words behind the program's name; the last one is empty after a space. bash takes the
            ``=`` of an option for a word of its own.
    """
    *before, current = words or [""]
    if current == "=":
        before, current = [*before, current], ""
    if before[-1:] == ["="]:
        before.pop()
    option, equals, value = current.partition("=")
    if equals:
        return [f"{option}={found}" for found in candidates([*before, option, value])]
    found = _may_follow(before, current) if before else command_names()
    return [word for word in found if word.startswith(current)]


def command_names() -> list[str]:
    """Names of the commands: those of LightningCLI, and the modules here that have one."""
    modules = [path.stem for path in Path(__file__).parent.glob("*.py") if _source_runs(path)]
    return sorted([*TRAINER_COMMANDS, *modules])


def _source_runs(path: Path) -> bool:
    return "\ndef run(" in path.read_text("utf-8")


def _may_follow(before: Sequence[str], current: str) -> list[str]:
    command, last = before[0], before[-1]
    if current.startswith("-"):
        return _options(command)
    if last.startswith("-"):
        return _named(_VALUES.get(last, ""))
    if command in _OF_RUNS:
        return _named("runs")
    if command == "ablate":
        return _named("grids")
    return [*_WORDS.get(command, ())] if len(before) == 1 else []


def _named(kind: str) -> list[str]:
    from sketchclip.commands.listed import backbones, classes, folders

    if kind in ("runs", "checkpoints"):
        names = folders.run_names(ROOT)
        return [LAST, "best", *names] if kind == "checkpoints" else names
    if kind in ("Optimizer", "LRScheduler"):
        return classes.torch_classes(kind)
    makers = {
        "methods": classes.methods,
        "datasets": classes.datasets,
        "backbones": backbones.backbones,
        "experiments": folders.experiments,
        "grids": lambda: [one for one in folders.experiments() if one["for"] == "ablate"],
    }
    return [entry["name"] for entry in makers[kind]()] if kind in makers else []


def _options(command: str) -> list[str]:
    if command in TRAINER_COMMANDS:
        return [*_OPTIONS]
    module = Path(__file__).with_name(f"{command}.py")
    if not module.is_file():
        return []
    return ["--help", *re.findall(r'"(--[a-z][\w-]*)"', module.read_text("utf-8"))]
