"""Try what can go wrong, for as long as there is time, and list every fault.

    python -m tools.campaign --minutes 180 --output campaign
    python -m tools.campaign --minutes 10 --output campaign --parts inputs --kinds png,svg
    python -m tools.campaign --output campaign --repeat inputs/png:0-17

The table of trials, campaign/trials.csv, grows line by line, and the same command goes on after
its last line. The input of each distinct fault is kept in campaign/faults. Status 1 says that there
was one. docs/reliability.md says what is promised.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sketchclip.errors import SketchClipError
from tools.campaigns.kept import Kept
from tools.campaigns.log import FAULTS, Log, summary

SHARES = {"inputs": 0.4, "interruptions": 0.3, "faults": 0.2, "clients": 0.1}
"""Parts, and their shares of the time."""
_LEAST = (
    0.03  # seconds that a trial counts for at least: else the fastest kinds would fill the table
)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10, help="of all parts (default: 10)")
    parser.add_argument("--output", type=Path, required=True, help="folder; a known one goes on")
    parser.add_argument("--parts", default=",".join(SHARES), help=f"some of {','.join(SHARES)}")
    parser.add_argument("--kinds", default="", help="names of kinds (default: all of the parts)")
    parser.add_argument("--seed", default="0", help="of the campaign (default: 0)")
    parser.add_argument("--trials", type=int, help="end after this many more")
    parser.add_argument("--repeat", metavar="KIND:SEED", help="one trial of the table once more")
    options = parser.parse_args(args)
    names = options.parts.split(",")
    if options.repeat:
        names = [options.repeat.partition("/")[0]]
    if unknown := {*names} - {*SHARES}:
        parser.error(f"--parts {','.join(sorted(unknown))}: expected some of {','.join(SHARES)}")
    # A shell's background jobs ignore Ctrl+C, and what they start would, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = options.output.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("SKETCHCLIP_CACHE", str(folder / "cache"))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["HF_HUB_OFFLINE"] = "1"  # a changed name must not be looked for on the network
    parts = {name: make_part(name, folder) for name in names}
    kinds = {f"{name}/{kind}": name for name, part in parts.items() for kind in part.kinds}
    if options.kinds:
        wanted = options.kinds.split(",")
        kinds = {kind: name for kind, name in kinds.items() if kind.partition("/")[2] in wanted}
    try:
        if options.repeat:
            return _repeat(parts, options.repeat)
        if not kinds:
            parser.error(f"--kinds {options.kinds}: the parts have none of these")
        for name in {*kinds.values()}:
            parts[name].prepare()
        log = Log(folder / "trials.csv")
        campaign = Campaign(parts, kinds, log, Kept(folder / "faults"), options.seed)
        campaign.run(options.minutes * 60, options.trials)
        print(summary(log.trials))
        log.close()
        return int(any(trial.outcome in FAULTS for trial in log.trials))
    except SketchClipError as error:
        print(f"campaign: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. The same command goes on.", file=sys.stderr)
        return 130
    finally:
        for part in parts.values():
            part.close()


def make_part(name: str, folder: Path) -> Any:
    """Make a part; what it needs is imported here, as others may do without."""
    if name == "inputs":
        from tools.campaigns.inputs import Inputs

        return Inputs(folder)
    if name == "interruptions":
        from tools.campaigns.interruptions import Interruptions

        return Interruptions(folder)
    if name == "faults":
        from tools.campaigns.system_faults import SystemFaults

        return SystemFaults(folder)
    from tools.campaigns.clients import Clients

    return Clients(folder)


class Campaign:
    """Chooses trials, and writes down how they end.

    Args:
        parts: By name; each has ``trial(kind, seed)``.
        kinds: Name in the table to the part.
        log: Table.
        kept: Faults.
        seed: Of the campaign.
    """

    def __init__(
        self, parts: dict[str, Any], kinds: dict[str, str], log: Log, kept: Kept, seed: str
    ) -> None:
        self._parts, self._kinds, self._log = parts, kinds, log
        self._kept, self._seed = kept, seed
        self._counts = {kind: log.count(kind) for kind in kinds}
        self._spent = dict.fromkeys({*kinds.values()}, 0.0)
        self._used = dict.fromkeys(kinds, 0.0)

    def run(self, seconds: float, trials: int | None = None) -> None:
        """Make trials until the time is over."""
        end, count = time.monotonic() + seconds, 0
        while time.monotonic() < end and (trials is None or count < trials):
            part = min(self._spent, key=lambda name: self._spent[name] / SHARES[name])
            own = [kind for kind, name in self._kinds.items() if name == part]
            # Kinds have equal shares of the time; each is tried at least once.
            kind = min(own, key=lambda name: (self._counts[name] > 0, self._used[name]))
            start = time.monotonic()
            self._try(part, kind)
            count += 1
            seconds = time.monotonic() - start
            self._spent[part] += seconds
            self._used[kind] += max(seconds, _LEAST)

    def _try(self, part: str, kind: str) -> None:
        seed = f"{self._seed}-{self._counts[kind]}"
        self._counts[kind] += 1
        report = self._parts[part].trial(kind.partition("/")[2], seed)
        seen = report.observed
        trial = self._log.add(kind, seed, report.done, seen.outcome, report.seconds, seen.message)
        if seen.outcome in FAULTS:
            about = (
                f"{kind}:{seed}, trial {trial.number}\n{report.done}\n{seen.outcome}: "
                f"{seen.message}\n\n{seen.details}\n"
            )
            place = self._kept.keep(kind, seen.place, about, report.data)
            if place is not None:
                print(f"{trial.number} {kind}: {seen.outcome}: {trial.message} [{place.name}]")
                sys.stdout.flush()


def _repeat(parts: dict[str, Any], which: str) -> int:
    kind, _, seed = which.partition(":")
    part = parts[kind.partition("/")[0]]
    part.prepare()
    report = part.trial(kind.partition("/")[2], seed)
    print(f"{report.done}\n{report.observed.outcome}: {report.observed.message}")
    print(report.observed.details)
    return int(report.observed.outcome in FAULTS)


if __name__ == "__main__":
    sys.exit(main())
