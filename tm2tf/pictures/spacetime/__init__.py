"""Space-time diagrams: the tape across, time down, any length of run on one picture.

- `history`: rows of a run, kept while it goes on and binned where they are too many;
- `recording`: runs weights (or a machine's rules) and feeds a history with what they say;
- `words`: titles and captions; `layout`: where things stand on a picture; `drawing` draws it
  (matplotlib); `halfblocks` are the same in a terminal, or as plain text.
"""
