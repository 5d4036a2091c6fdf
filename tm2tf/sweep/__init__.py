"""Sweeps: many machines, inputs and constructions, checked one by one, and nothing lost on the way.

`tasks` says what is to be done, lazily; `work` does it, a batch at a time, in whatever process it
is called; `local` and `ray_engine` spread batches over processes, here or on a cluster; `store`
keeps every row as it comes; `sweep` puts them together. Nothing here schedules anything: pebble and
Ray do. Imports everything below the command line.
"""
