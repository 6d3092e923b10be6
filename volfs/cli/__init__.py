"""What a person types: commands that talk to the daemon over its socket, and `serve`, which starts one.

Law: nothing heavy is imported before it is needed; `volfs ls` starts in well under 0.2 s.
"""
