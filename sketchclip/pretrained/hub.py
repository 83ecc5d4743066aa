"""Checkpoints from and to the Hugging Face hub."""

from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

from sketchclip import __version__
from sketchclip.errors import SketchClipError, first_line
from sketchclip.runs.folder import ABOUT, CONFIG, EXPORTED
from sketchclip.system.network import hub_problem

_WEIGHTS = (EXPORTED, "last.ckpt", "model.ckpt")
PATIENCE = 5.0
"""Seconds that the hub has to answer; its library would try again and again for minutes."""


def download(repository: str, option: str = "--ckpt_path") -> Path:
    """Fetch a checkpoint with its config, or take them from the hub's local cache.

    Returns:
        Path of the weights; config.yaml lies beside them, and config.json if there is one.

    Raises:
        SketchClipError: If they cannot be had.
    """
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    offline: list[Exception] = []
    cached = not answers()

    def fetch(name: str) -> Path | None:
        try:
            found = huggingface_hub.hf_hub_download(repository, name, local_files_only=cached)
            return Path(found)
        except LocalEntryNotFoundError as error:  # a kind of the next one, and means: no network
            offline.append(error)
            return None
        except EntryNotFoundError:
            return None
        except Exception as error:
            raise SketchClipError(
                f"{option}={repository} is no file here, and the Hugging Face hub says: "
                f"{type(error).__name__}: {first_line(error)}. Check the name, "
                "and for a private repository run 'hf auth login'."
            ) from error

    weights = next((path for name in _WEIGHTS if (path := fetch(name))), None)
    if weights is None and offline:
        raise SketchClipError(
            f"{option}={repository} is no file or folder here, and as a repository of the Hugging "
            "Face hub it is not in the local cache and the hub cannot be reached. With a network, "
            f"run 'hf download {repository}' once; without one, copy its files into a folder and "
            f"give {option}=FOLDER."
        ) from offline[0]
    if weights is None:
        raise SketchClipError(
            f"The hub repository {repository} holds no checkpoint of sketchclip. Expected one of "
            f"{', '.join(_WEIGHTS)}."
        )
    for name in (CONFIG, ABOUT):
        fetch(name)
    return weights


def answers() -> bool:
    """Whether the hub, or the mirror in its place, answers in time, with whatever it says."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    answered = Event()

    def ask() -> None:
        with suppress(Exception):  # of whichever client the library uses at present
            get_session().head(constants.ENDPOINT, timeout=PATIENCE)
            answered.set()

    # A thread, as nothing else ends the look-up of a name in time.
    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return answered.is_set()


def check_hub(repository: str) -> None:
    """Check that the hub is there, before what would be uploaded is made.

    Raises:
        SketchClipError: If it cannot be reached.
    """
    if not answers():
        problem = hub_problem() or "the Hugging Face hub does not answer"
        raise SketchClipError(
            f"Cannot upload to hf://{repository}: {problem}. Without a network, export into a "
            f"folder (--to FOLDER) and later run 'hf upload {repository} FOLDER'."
        )


def upload(folder: Path, repository: str, private: bool) -> str:
    """Put all files of a folder into a repository of the hub, which is made if there is none.

    Returns:
        Address of the repository.

    Raises:
        SketchClipError: If the hub cannot be reached or refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    try:
        created = api.create_repo(repository, private=private, exist_ok=True)
        message = f"Export from sketchclip {__version__}"
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message=message)
    except HfHubHTTPError as error:
        raise SketchClipError(
            f"The Hugging Face hub refuses hf://{repository}: {first_line(error)}. Run "
            "'hf auth login' with a token that may write there."
        ) from error
    except Exception as error:  # of whichever client the library uses at present
        raise SketchClipError(
            f"Cannot upload to hf://{repository} ({type(error).__name__}: {first_line(error)}). "
            "Without a network, export into a folder and later run "
            f"'hf upload {repository} FOLDER'."
        ) from error
    return str(created)
