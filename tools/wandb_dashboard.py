"""The dashboard of a W&B project as code: prints the layout, or saves it as a view of the project.

python tools/wandb_dashboard.py [--push ENTITY/PROJECT]
"""

import argparse

LINES, SCALARS, MEDIA = "line", "scalar", "media"
# Section to panels: kind, title, metrics. The names are those that methods and metrics log.
LAYOUT: dict[str, list[tuple[str, str, list[str]]]] = {
    "Validation": [
        (LINES, "mAP@all", ["val/mAP@all", "val/chance_mAP@all"]),
        (LINES, "Precision", ["val/P@100", "val/P@200"]),
        (LINES, "Own photo found", ["val/Acc@1", "val/Acc@5", "val/Acc@10"]),
        (MEDIA, "Sketches and their first photos", ["val/retrieved"]),
    ],
    "Losses": [
        (LINES, "Loss", ["train/loss"]),
        (LINES, "Triplet", ["train/triplet"]),
        (LINES, "Classification", ["train/cls_sketch", "train/cls_photo"]),
    ],
    "Test on unseen classes": [
        (SCALARS, "mAP@all", ["test/mAP@all"]),
        (SCALARS, "mAP@200", ["test/mAP@200"]),
        (SCALARS, "P@100", ["test/P@100"]),
        (MEDIA, "Sketches and their first photos", ["test/retrieved"]),
    ],
}


def main() -> None:
    """Print the layout or save it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--push", metavar="ENTITY/PROJECT", help="save as a view of this project")
    options = parser.parse_args()
    if options.push:
        entity, _, project = options.push.partition("/")
        print(push(entity, project))
        return
    for section, panels in LAYOUT.items():
        print(section)
        for kind, title, metrics in panels:
            print(f"  {kind:<7} {title}: {', '.join(metrics)}")


def push(entity: str, project: str) -> str:
    """Save the layout on the server.

    Args:
        entity: User or team.
        project: Project of the runs.

    Returns:
        Address of the view.
    """
    try:
        import wandb_workspaces.reports.v2 as panels
        import wandb_workspaces.workspaces as workspaces
    except ImportError:
        raise SystemExit("Saving a view needs: pip install wandb-workspaces") from None
    make = {
        LINES: lambda title, names: panels.LinePlot(title=title, x="trainer/global_step", y=names),
        SCALARS: lambda title, names: panels.ScalarChart(title=title, metric=names[0]),
        MEDIA: lambda title, names: panels.MediaBrowser(title=title, media_keys=names),
    }
    sections = [
        workspaces.Section(
            name=name, panels=[make[kind](title, names) for kind, title, names in listed]
        )
        for name, listed in LAYOUT.items()
    ]
    view = workspaces.Workspace(
        entity=entity, project=project, name="sketchclip", sections=sections
    )
    return view.save().url


if __name__ == "__main__":
    main()
