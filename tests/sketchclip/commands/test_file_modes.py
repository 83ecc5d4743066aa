"""Files and folders of every command follow the umask, as those of any other program do."""

import os

import pytest

from data_modules import EmojiPairs
from sketchclip.cli import main

UMASK = 0o027


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The current folder, under a umask that nothing has by itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKETCHCLIP_CACHE", str(tmp_path / "cache"))
    before = os.umask(UMASK)
    yield tmp_path
    os.umask(before)


def unusual(folder):
    """Path and mode of what does not have the mode that the umask gives."""
    paths = [path for path in folder.rglob("*") if not path.is_symlink()]
    assert paths
    modes = {str(path.relative_to(folder)): (path.is_dir(), path.stat().st_mode) for path in paths}
    return {
        name: oct(mode & 0o777)
        for name, (is_folder, mode) in modes.items()
        if mode & 0o777 != (0o777 if is_folder else 0o666) & ~UMASK
    }


def test_what_commands_write_follows_the_umask(home, run, tree, tiny_weights):
    run("fit", "--trainer.max_epochs", "1")
    (version,) = home.glob("runs/*/version_0")
    main(["test", "--ckpt_path", str(version), "--trainer.enable_progress_bar", "false"])
    main(["predict", "--ckpt_path", str(version), "--trainer.enable_progress_bar", "false"])
    main(["table", str(version), "-o", "tables"])
    main(["plot", str(version), "-o", "figures", "--figures", "training"])
    main(["show", str(version / "test"), "-o", "shown.png"])
    main(["export", str(version), "--to", "exported"])
    main(["data", "prepare", str(tree), "--out", "prepared", "--size", "32", "--workers", "1"])
    tiny = ["--backbone", "tiny", "--pretrained", str(tiny_weights)]
    main(["index", str(tree / "photo"), "-o", "index", *tiny])
    sketch = next(tree.rglob("sketch/*/*.png"))
    main(["search", str(sketch), "--index", "index", "--save", "found.png"])
    expected = ("exported/model.safetensors", "shown.png", "found.png")
    assert list(home.glob("tables/*.md"))
    assert [name for name in expected if not (home / name).exists()] == []
    assert unusual(home) == {}


def test_a_bundled_benchmark_is_unpacked_for_all_who_share_the_cache(home):
    root = EmojiPairs().find_root(None)
    assert root.is_relative_to(home)
    assert unusual(home) == {}
    assert [path.name for path in root.parent.iterdir()] == [root.name]


def test_a_file_that_is_written_again_keeps_its_mode(home):
    import torch

    from sketchclip.checkpoint import save_tensors

    file = home / "model.safetensors"
    file.touch()
    file.chmod(0o600)
    save_tensors({"a": torch.ones(2)}, file, {})
    assert file.stat().st_mode & 0o777 == 0o600
