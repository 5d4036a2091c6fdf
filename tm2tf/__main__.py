"""`python -m tm2tf`: the command line."""

from tm2tf.cli import main

main()
