"""Checkpoints for other people's programs: one module a format, and what all of them share.

`bundle` compiles a machine into a checkpoint of a stock architecture, with all that a format needs
to know; `formats` is the table of formats; `folder` writes what every folder has. A format's
packages are extras, imported where they are used.
"""
