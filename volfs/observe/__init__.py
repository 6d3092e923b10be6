"""A Docker root that a dockerd owns, followed and shown, with not a byte changed in it.

    inotify ─┐                       ┌─ volumes/NAME      a directory, opts.json
    mounts  ─┴→ follow ──→ look ─────┼─ metadata.db       labels, options
                  │                  └─ containers/ID     who uses it
                  └──→ compare ──→ the catalogue, and with it the view and the API

Law: the catalogue mirrors what Docker's files say; it lies in a directory of volfs' own, and when it is lost it is made
again. Nothing is written, locked, mounted or unmounted under the Docker root.
"""
