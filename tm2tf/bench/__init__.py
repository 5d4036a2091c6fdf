"""What is timed and measured, and how.

`compare` sets constructions side by side on one machine. `registry` lists the benchmarks of `tm2tf
bench`; each is a module here, says what is compared with what, and checks that results are right.
`timing` is how anything is timed, `results` what a benchmark brings back, `goals` what is expected
of it, `document` and `figures` how it is shown. Everything is measured in the run that prints it.
Imports everything below `api`, and is imported by the command line alone.
"""
