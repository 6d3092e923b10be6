"""`volfs` and `python -m volfs`: runs a command and turns every way in which it can end into an exit code.

    0    done                              125  no daemon, bad usage, and every other failure
    1    rm, inspect, df: no such volume   130  Ctrl-C
    2    rm: somebody uses it              141  whoever read our output has gone (128 + SIGPIPE, as a shell reports it)

Law: a person sees one line, never a traceback. VOLFS_DEBUG=1 shows the traceback of a bug.
"""

import io
import os
import sys

FAILED = 125
INTERRUPTED = 130
GONE = 141


def main() -> int:
    """Runs the command line of this process and returns its exit code."""
    try:
        from volfs.cli.output import Gone

        try:
            return _run()
        except Gone:
            return GONE
    except KeyboardInterrupt:  # while modules were being imported; later click makes it an Abort
        return INTERRUPTED


def _run() -> int:
    import click

    from volfs.cli.app import app
    from volfs.cli.output import Gone, complain, complain_as_is
    from volfs.errors import VolfsError

    try:
        code = app.main(prog_name="volfs", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        complain_as_is(shown.getvalue().rstrip("\n"))
    except Gone:
        raise
    except VolfsError as error:
        complain(str(error))
    except Exception as error:  # a bug: the one place where it becomes a line for people
        if os.environ.get("VOLFS_DEBUG"):
            raise
        complain(f"this is a bug in volfs (VOLFS_DEBUG=1 shows where): {type(error).__name__}: {error}")
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
