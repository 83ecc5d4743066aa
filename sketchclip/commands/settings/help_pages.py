"""Help of the commands that LightningCLI runs: options of a method and a dataset, too."""

import inspect
from collections.abc import Sequence

from sketchclip import methods
from sketchclip.commands.settings.class_names import load_all
from sketchclip.commands.settings.shorthand import option
from sketchclip.commands.trainer import run_cli

# Parts of methods that a config chooses, each with a class whose options help shows as an example.
_PARTS = {
    "adaptation": "DeepPrompts",
    "text_head": "LearnedContext",
    "encoder": "TimmEncoder",
    "sketch_teacher": "TrainedEncoder",
    "semantics": "WordVectorFile",
}


def print_help(args: Sequence[str]) -> None:
    """Print the options of a command, then those of the named classes, else of the paper's.

    Options of a method and a dataset depend on the class, so LightningCLI leaves them out.
    """
    load_all()
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
        f"  sketchclip {args[0]} --model FineGrainedPromptLearning --data TUBerlin --help"
    )
    taken = inspect.signature(getattr(methods, model.rpartition(".")[2], object)).parameters
    parts = [f"--model.{part}.help {name}" for part, name in _PARTS.items() if part in taken]
    if parts:
        print("These are the options of parts of a method:")
        print("\n".join(f"  sketchclip {args[0]} --model {model} {part}" for part in parts))
