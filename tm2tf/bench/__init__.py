"""What is timed and measured, and how.

`compare` sets constructions side by side on one machine. Everything is measured in the run that
prints it. Imports everything below `api`, and is imported by the command line alone.
"""
