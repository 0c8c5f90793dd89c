"""`actionclip serve`: the same questions over HTTP, and a page for them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from actionclip.cli import options
from actionclip.cli.console import documented, plain_warnings, say

if TYPE_CHECKING:
    from actionclip.serving.server import Address

EXAMPLES = """Examples:

  actionclip serve

  actionclip serve tiny --port 8080

  actionclip serve --index films-index

  actionclip serve models/mine --host 0.0.0.0 --max-upload 500
"""


def serve(
    model: Annotated[
        str | None,
        typer.Argument(
            help="open_clip-name/tag, tiny, hf-hub:owner/repo, or a model folder. "
            "Default: ViT-B-16/datacomp_xl_s13b_b90k (600 MB, downloaded once).",
            show_default=False,
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, help="0: any that is free.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Where to listen. Other machines reach 0.0.0.0, with a token.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            envvar="ACTIONCLIP_TOKEN",
            help="What clients have to know. Default: none on this machine; else one is drawn.",
            show_default=False,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Another name that this machine is asked by, as behind a proxy; repeatable.",
            show_default=False,
        ),
    ] = None,
    index: Annotated[
        str | None,
        typer.Option(
            help="What /search answers from: an index of `actionclip index`, of the same model.",
            show_default=False,
        ),
    ] = None,
    max_upload: Annotated[int, typer.Option(min=1, help="Largest video in MiB.")] = 2048,
    queue: Annotated[
        int, typer.Option(min=1, help="Videos that wait or run; more are refused with 429.")
    ] = 64,
    keep_memory: Annotated[
        int, typer.Option(min=0, help="MiB of embeddings kept for asking again.")
    ] = 16,
    keep_minutes: Annotated[float, typer.Option(min=0, help="For how long they are kept.")] = 10.0,
    patience: Annotated[
        float, typer.Option(min=0.1, help="Seconds a sender may be silent.")
    ] = 10.0,
    uploads: Annotated[
        Path | None,
        typer.Option(
            help="Folder for videos while they are worked on. Default: the system's.",
            file_okay=False,
            show_default=False,
        ),
    ] = None,
    precision: options.PrecisionName = "auto",
    device: options.Device = None,
    workers: options.Workers = None,
    timeout: options.Timeout = 10.0,
    decoder: options.DecoderName = "pyav",
    as_json: options.Json = False,
) -> None:
    """Answer over HTTP, and show a page, until Ctrl-C."""
    from actionclip.serving import server
    from actionclip.serving.settings import MIB, ServeConfig

    server.check_packages()
    settings = ServeConfig(
        host=host,
        port=port,
        token=token,
        allow_hosts=tuple(allow_host or ()),
        max_upload=max_upload * MIB,
        max_spool=4 * max_upload * MIB,
        queue=queue,
        keep_memory=keep_memory * MIB,
        keep_seconds=keep_minutes * 60,
        patience=patience,
        index=index,
        folder=uploads,
    )
    for check in (server.check_uploads, server.check_address, server.check_index):
        check(settings)  # before a model is loaded for nothing
    with plain_warnings():
        recognizer = options.open_model(
            model,
            device=device,
            precision=precision,
            workers=workers,
            timeout=timeout,
            decoder=decoder,
        )
        name = model or _default()
        server.serve(recognizer, name, settings, lambda address: _announce(address, name, as_json))


serve.__doc__ = documented(serve, EXAMPLES)


def _default() -> str:
    from actionclip.model.zoo.pretrained import DEFAULT

    return DEFAULT


def _announce(address: "Address", name: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"url": address.url, "token": address.token, "model": name}))
        return
    say(f"{name} answers on {address.url} (reference: {address.url}/docs; Ctrl-C ends it)")
    if address.token is not None:
        say(f"The page, with its token: {address.url}/#token={quote(address.token, safe='')}")
        say(f"Programs send the header: Authorization: Bearer {address.token}")
