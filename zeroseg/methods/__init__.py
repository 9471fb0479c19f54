"""Methods: each is one class, whose fields say what it is and whose functions build it."""

from zeroseg.methods.distillation import Distillation
from zeroseg.methods.method import MethodConfig

METHODS: tuple[type[MethodConfig], ...] = (Distillation,)
"""Those that a stored config or model may name; a caller may pass more, and none is looked for by a
name in a file."""
