"""``sketchclip fit --help``: every option of the trainer, of a method and of a dataset."""

from collections.abc import Sequence

from sketchclip.commands.shorthand import option
from sketchclip.commands.trainer import run_cli


def print_help(args: Sequence[str]) -> None:
    """Print the options of a command, then those of the named classes, else of the paper's.

    Options of a method and a dataset depend on the class, so LightningCLI leaves them out.
    """
    model = option([*args], "--model")[1] or "ZeroShotPromptLearning"
    data = option([*args], "--data")[1] or "Sketchy"
    for wanted in (["--help"], [f"--model.help={model}"], [f"--data.help={data}"]):
        try:
            run_cli([args[0], *wanted])
        except SystemExit as stop:  # the way argparse ends after its help
            if stop.code:
                raise
        print()
    print(
        f"These are the options of {model} and {data}; of other classes:\n"
        f"  sketchclip {args[0]} --model FineGrainedPromptLearning --data TUBerlin --help\n"
        "These are the options of parts of a method:\n"
        f"  sketchclip {args[0]} --model {model} --model.adaptation.help DeepPrompts\n"
        f"  sketchclip {args[0]} --model {model} --model.text_head.help LearnedContext"
    )
