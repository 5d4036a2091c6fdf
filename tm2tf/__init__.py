"""tm2tf: a Turing machine's specification becomes the explicit weights of a transformer.

    import tm2tf

    machine = tm2tf.load("binary-increment")          # bundled name, path, text or code
    model = tm2tf.compile(machine)
    model.run("1011").outcome                         # 'halted'
    tm2tf.verify(machine, "1011").divergence is None  # True

Names are imported when they are first used, so that `import tm2tf` is quick.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tm2tf.api import Model as Model
    from tm2tf.api import compile as compile  # noqa: A004
    from tm2tf.api import load as load
    from tm2tf.api import open_model as open_model
    from tm2tf.api import verify as verify
    from tm2tf.machine.spec import Machine as Machine

__version__ = "0.1.0"
__all__ = ["Machine", "Model", "__version__", "compile", "load", "open_model", "verify"]


def __getattr__(name: str) -> Any:
    if name == "Machine":
        from tm2tf.machine.spec import Machine

        return Machine
    if name in __all__:
        from tm2tf import api

        return getattr(api, name)
    raise AttributeError(f"module 'tm2tf' has no attribute {name!r}")


class _Verify(ModuleType):
    """The package `tm2tf.verify`, which is also the function of that name."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        from tm2tf import api

        return api.verify(*args, **options)


class _Package(ModuleType):
    """This package: what it imports under the name of a function must go on being callable."""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "verify" and isinstance(value, ModuleType):
            value.__class__ = _Verify
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
