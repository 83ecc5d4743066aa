"""Another optimizer, schedule or warm-up than a method's own."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, LRScheduler, ReduceLROnPlateau, SequentialLR

from data_modules.ranges import CheckedArguments, Natural
from sketchclip.errors import SketchClipError, first_line

Interval = Literal["epoch", "step"]


class Recipe(CheckedArguments, Callback):
    """Trains a method with another optimizer or schedule.

    A method's own optimizer says what trains in which group, and at which rate. Methods that step
    several optimizers, and those with a schedule of their own, are refused.

    Args:
        optimizer: Makes an optimizer of parameter groups; None for the method's own.
        lr_scheduler: Makes a schedule of an optimizer; None for constant rates.
        interval: Unit of schedule and warm-up: epochs, or steps of the optimizer.
        warmup: Epochs or steps in which rates rise in a straight line: of N, the first has
            1 / (N + 1) of its rate. The schedule starts after them.
        own_rates: Keep the learning rate that each group has in the method; else that of
            ``optimizer`` counts for all of them.
        settings: Description that checkpoints keep, to compare when a run goes on.
    """

    def __init__(
        self,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer] | None = None,
        lr_scheduler: Callable[[Optimizer], LRScheduler | ReduceLROnPlateau] | None = None,
        interval: Interval = "epoch",
        warmup: Natural = 0,
        own_rates: bool = True,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.interval: Interval = interval
        self.warmup = warmup
        self.own_rates = own_rates
        self.settings = dict(settings or {})

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Stand in for the method's ``configure_optimizers``, as LightningCLI does."""
        if stage != "fit":
            return
        own = pl_module.configure_optimizers

        def configure() -> OptimizerLRScheduler:
            return self.configure(pl_module, own)

        pl_module.configure_optimizers = configure  # type: ignore[method-assign]

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the method its own back."""
        vars(pl_module).pop("configure_optimizers", None)

    def state_dict(self) -> dict[str, Any]:
        """Settings, for the checkpoint."""
        return {"settings": self.settings}

    def configure(
        self, module: LightningModule, own: Callable[[], OptimizerLRScheduler]
    ) -> OptimizerLRScheduler:
        """Make optimizer and schedule of a method.

        Args:
            module: The method.
            own: Its own ``configure_optimizers``.

        Raises:
            SketchClipError: If the method steps optimizers by itself or has a schedule of its own,
                or the optimizer or the schedule cannot be made.
        """
        name = type(module).__name__
        if not module.automatic_optimization:
            raise _refused(f"{name} steps several optimizers by itself")
        optimizer: Any = own()
        if not isinstance(optimizer, Optimizer) or getattr(module, "sets_rates", False):
            raise _refused(f"{name} has a schedule of its own")
        try:
            if self.optimizer is not None:
                keys = ("params", "lr") if self.own_rates else ("params",)
                groups = [{key: group[key] for key in keys} for group in optimizer.param_groups]
                optimizer = self.optimizer(groups)
            schedule = None if self.lr_scheduler is None else self.lr_scheduler(optimizer)
        except (TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
            raise SketchClipError(
                f"--optimizer or --lr_scheduler of {name}: {first_line(error)}"
            ) from error
        schedule = self._warmed_up(optimizer, schedule) if self.warmup else schedule
        if schedule is None:
            return optimizer
        told = {"scheduler": schedule, "interval": self.interval}
        if (monitor := getattr(schedule, "monitor", None)) is not None:
            told["monitor"] = monitor
        both: Any = {"optimizer": optimizer, "lr_scheduler": told}
        return both

    def _warmed_up(self, optimizer: Optimizer, schedule: Any) -> LRScheduler:
        if isinstance(schedule, ReduceLROnPlateau):
            raise SketchClipError(
                f"--lr_warmup {self.warmup} does not go with ReduceLROnPlateau, which follows no "
                "count of epochs or steps. Leave one of them out."
            )
        # Made before the rates of the schedule's own first step are undone by SequentialLR.
        rise = LinearLR(optimizer, 1 / (self.warmup + 1), total_iters=self.warmup)
        if schedule is None:
            return rise
        return SequentialLR(optimizer, [rise, schedule], [self.warmup])


def _refused(why: str) -> SketchClipError:
    return SketchClipError(
        f"{why}: its paper's training is of one piece. Leave --optimizer, --lr_scheduler and "
        "--lr_warmup out; its settings have its rates, see 'sketchclip fit --model.help'."
    )
