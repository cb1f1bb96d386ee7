"""`explorer dashboard`: optuna-dashboard on a study's trials."""

from typing import Annotated

import typer

from explorer.cli.front import StudyOrFolder
from explorer.cli.run import Storage


def dashboard(
    study: StudyOrFolder,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")] = 8080,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
    storage: Storage = None,
) -> None:
    """Open optuna-dashboard on a study, also while it runs; Ctrl-C ends it.

    Read-only: trials cannot be changed, only notes can be written.
    """
    import contextlib
    import threading
    import webbrowser

    from explorer import api
    from explorer.cli.console import note, print_text

    server = api.dashboard(study, storage=storage, host=host, port=port)
    print_text(server.url)
    note("Ctrl-C ends it")
    if host not in {"127.0.0.1", "localhost"}:
        note(f"note: whoever reaches {host} can read the study and write notes")
    if not no_browser:
        # In a thread: a browser in the terminal blocks its caller until it is closed.
        threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        server.serve()
    server.close()
