"""The terminal player: a run of the weights, forward and back, with what each part did.

Without a screen:

- `history`: what the weights said of a run, a byte a step, so that any of its situations can be
  had again; `tapes`: tapes that steps are applied to, forward and back;
- `playback`: the run with a cursor; `breakpoints`: where it stops;
- `details`: the forward pass behind a step, read when it is looked at;
- `panels`, `tape_view`, `strip`: all of it in words, as texts of a given width; `styles`: colours.

With one (textual, which is the extra `player`): `app` has the keys, `stage` draws, `help` says what
keys do. `play` opens it.

Imports `inspect`, `pictures`, `runtime`, `compiler` and what is below. Nothing of `api` and `cli`.
"""
