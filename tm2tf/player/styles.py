"""How things look in the player: bright ones of `pictures.palette`, on a dark ground.

No colour says anything alone: a head stands in brackets, a rule has an arrow, attention has marks.
"""

from __future__ import annotations

from tm2tf.pictures.palette import OKABE_ITO, hexadecimal

_BLUE, _ORANGE, _GREEN, _YELLOW, _VERMILION, _SKY, _PURPLE = map(hexadecimal, OKABE_ITO)

DIM = "dim"
HEAD = f"bold reverse {_YELLOW}"
STATE = f"bold {_ORANGE}"
RULE = f"bold {_YELLOW}"
SECTION = f"bold {_SKY}"
ATTENDED = f"bold {_SKY}"
TOKEN = f"bold {_GREEN}"
WRONG = f"bold {_VERMILION}"
