"""Files from the Hugging Face Hub: from the cache without asking, or a quick and clear answer.

The Hub's client tries a file five times before it gives up, and open_clip asks for several: without
a network that takes most of a minute. Here the cache is looked at first, the network is tried once,
and an error says exactly which files are wanted and where they may be put.
"""

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionclip.errors import ActionCLIPError

PREFIX = "hf-hub:"
"""How a model on the Hub is named: `hf-hub:owner/repo`."""

PATIENCE = 3.0
"""Seconds to wait for a sign of life from the Hub."""


@dataclass(frozen=True)
class Wanted:
    """A file of a repository on the Hub."""

    repo: str
    names: tuple[str, ...]
    """What it may be called; the first that is there is taken."""

    def __str__(self) -> str:
        return f"{' or '.join(self.names)} of {self.repo}"


def cached(wanted: Wanted) -> Path | None:
    """Where the file is in the Hub's cache; None when it is not. Never asks the network."""
    from huggingface_hub import try_to_load_from_cache

    for name in wanted.names:
        found = try_to_load_from_cache(wanted.repo, name, cache_dir=cache_folder())
        if isinstance(found, str) and Path(found).is_file():
            return Path(found)
    return None


def cache_folder() -> Path:
    """The Hub's cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def offline_reason() -> str | None:
    """Why the Hub cannot be asked, found out in a few seconds; None when it can."""
    from huggingface_hub import constants

    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(variable, "").upper() in ("1", "ON", "YES", "TRUE"):
            return f"{variable} is set"
    if constants.is_offline_mode():
        return "HF_HUB_OFFLINE was set"
    answer: list[str | None] = []
    # A thread, because looking up a name has no time limit of its own.
    thread = threading.Thread(target=lambda: answer.append(_knock(constants.ENDPOINT)), daemon=True)
    thread.start()
    thread.join(PATIENCE + 0.5)
    reason = answer[0] if answer else f"no answer in {PATIENCE:g} seconds"
    return None if reason is None else f"{constants.ENDPOINT} cannot be reached: {reason}"


def _knock(endpoint: str) -> str | None:
    """What goes wrong when the Hub is asked for anything at all; None when it answers."""
    from huggingface_hub.utils import get_session

    try:
        # The Hub's own client: it knows about proxies and certificates.
        get_session().head(endpoint, timeout=PATIENCE)
    except Exception as error:
        return str(error) or type(error).__name__
    return None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No chatter about retries and tokens; progress bars on a terminal only."""
    from huggingface_hub import utils

    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    bars = utils.are_progress_bars_disabled()
    logger.setLevel(logging.CRITICAL)
    if not sys.stderr.isatty():
        utils.disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if not bars:
            utils.enable_progress_bars()


def fetch(wanted: Wanted, *, model: str) -> Path:
    """The file, from the cache or from the Hub.

    Args:
        wanted: which.
        model: the name of the model it is for, for the error.

    Raises:
        ActionCLIPError: when it is neither here nor to be had.
    """
    found = cached(wanted)
    if found is not None:
        return found
    if reason := offline_reason():
        raise unavailable(model, [wanted], reason)
    for name in wanted.names:
        item = Wanted(wanted.repo, (name,))
        if fetch_if_there(item, model=model) and (found := cached(item)):
            return found
    raise unavailable(model, [wanted], f"{wanted.repo} has no such file")


def fetch_if_there(wanted: Wanted, *, model: str) -> bool:
    """Put a file into the cache; False when the repository has none of that name.

    Raises:
        ActionCLIPError: when the repository cannot be had.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        with quiet():
            hf_hub_download(wanted.repo, wanted.names[0], cache_dir=cache_folder())
    except EntryNotFoundError:
        return False
    except Exception as error:
        raise unavailable(model, [wanted], _first_line(error)) from None
    return True


def fetch_below(repo: str, folder: str, suffixes: tuple[str, ...], *, model: str) -> None:
    """Put the files of a folder of a repository into the cache, those that end so.

    Raises:
        ActionCLIPError: when the repository cannot be had.
    """
    from huggingface_hub import list_repo_files

    try:
        with quiet():
            names = list_repo_files(repo)
    except Exception as error:
        raise unavailable(model, [Wanted(repo, (folder,))], _first_line(error)) from None
    for name in names:
        if name.rpartition("/")[0] == folder and name.endswith(suffixes):
            fetch_if_there(Wanted(repo, (name,)), model=model)


def _first_line(error: object) -> str:
    return str(error).strip().partition("\n")[0][:300] or type(error).__name__


def unavailable(model: str, wanted: list[Wanted], reason: str) -> ActionCLIPError:
    """The error for files that are not here: which, where to put them, and what works without."""
    repos = list(dict.fromkeys(item.repo for item in wanted))
    folders = [f"models--{repo.replace('/', '--')}" for repo in repos]
    tokenizer = any("tokenizer.json" in item.names for item in wanted)
    return ActionCLIPError(
        f"The files of the model {model!r} are not on this machine, and they could not be had: "
        f"{reason.rstrip('.')}.",
        expected=f"Wanted: {'; '.join(str(item) for item in wanted)}.",
        hint=f"On a machine with a network run `hf download {repos[0]} --local-dir FOLDER`, copy "
        f"FOLDER here and use `--model FOLDER`; or copy {' and '.join(folders)} from that "
        f"machine's cache into {cache_folder()}. `--model tiny` needs no download."
        + (' Its tokenizer also needs: pip install "actionclip[siglip]".' if tokenizer else ""),
    )


def check_repo(repo: str) -> str:
    """The name of a repository, `owner/repo`.

    Raises:
        ActionCLIPError: when it is not of that form.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
        valid = repo.count("/") == 1
    except HFValidationError:
        valid = False
    if not valid:
        raise ActionCLIPError(
            f"There can be no repository {repo!r} on the Hub.",
            expected="A model on the Hub is named hf-hub:owner/repo.",
        )
    return repo


def push_folder(
    folder: str | Path, repo: str, *, private: bool = True, api: Any = None, message: str = ""
) -> str:
    """Upload a model folder to the Hugging Face Hub, making the repository when it is not there.

    Args:
        folder: a folder that `save` or `convert` wrote.
        repo: `owner/repo`.
        private: whether a repository made by this call is visible to its owner alone.
        api: a `huggingface_hub.HfApi`; None makes one with the token of `hf auth login`.
        message: the commit's message.

    Returns:
        The name to load it by, `hf-hub:owner/repo`.

    Raises:
        ActionCLIPError: when the Hub cannot be reached or refuses.
    """
    check_repo(repo)
    if api is None:
        from huggingface_hub import HfApi

        if reason := offline_reason():
            raise ActionCLIPError(
                f"{folder} was not uploaded: {reason}.", expected="Uploading needs the network."
            )
        api = HfApi()
    try:
        with quiet():
            api.create_repo(repo, private=private, exist_ok=True)
            api.upload_folder(
                repo_id=repo,
                folder_path=str(folder),
                commit_message=message or "Upload an actionclip model folder",
                ignore_patterns=[".*"],
            )
    except Exception as error:
        raise ActionCLIPError(
            f"{folder} was not uploaded to {repo}: {_first_line(error)}.",
            hint="Log in with `hf auth login` as someone who may write there.",
        ) from error
    return PREFIX + repo
