"""The daemon's program, `python -m volfs.daemon`: everything that can be got wrong, and is started again when it was.

__main__   loads, takes what the keeper hands down
restored   restore, before anything is served
serving    the faces, in one nursery tree
parting    the end, also where a thread cannot be ended
"""
