"""How every command reads its arguments: a dataclass, or a function, by tyro."""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from zeroseg.data.views import Windows
from zeroseg.evaluation.correction import Correction, Kind
from zeroseg.evaluation.protocols import Protocol, ProtocolConfig
from zeroseg.models.clip import CLIPConfig

T = TypeVar("T")
RULES = ConstructorRegistry()
"""Ours, which tyro asks before its own."""
UNSET = (tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone)
"""Markers of a command whose flags begin unset and whose None cannot be asked for."""
CLIP_HELP = (
    "An open_clip name and the tag or path of its weights; `local-dir:FOLDER`, `hf-hub:OWNER/NAME` "
    "and `zeroseg-scenes` bring theirs."
)


def read(
    kind: Callable[..., T],
    arguments: Sequence[str],
    program: str,
    about: str | None,
    *markers: Any,
    default: Any = tyro.MISSING_NONPROP,
) -> T:
    """The dataclass that a command line describes, or what a function returns that it calls.

    `about` opens the help: what the program does, with examples in lines of their own.
    `markers` are tyro's. Ends the program with status 0 after `--help`, and with 2 after arguments
    that do not fit.
    """
    # tyro joins lines that begin with a letter.
    examples = re.sub(r"^ *(?=(zeroseg|accelerate|torchrun) )", "    ", about or "", flags=re.M)
    return tyro.cli(
        kind,
        args=arguments,
        prog=program,
        description=re.sub(r"\n\n(?=[^a-zA-Z])", "\n", examples),
        default=default,
        config=(tyro.conf.AvoidSubcommands, tyro.conf.PositionalMetavarFromFieldName, *markers),
        registry=RULES,
    )


def _other_rules(rule: Any, info: StructTypeInfo) -> StructConstructorSpec | None:
    """What other rules make of a class; None where they were asked by this one already."""
    if rule in info.markers:
        return None
    asked = dataclasses.replace(info, markers=(*info.markers, rule))
    spec = ConstructorRegistry.get_struct_spec(asked)
    return spec if isinstance(spec, StructConstructorSpec) else None


@RULES.struct_rule
def _paragraphs(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Docstrings of fields without the source's line breaks; of defaults only those that say a thing."""
    spec = _other_rules(_paragraphs, info) if dataclasses.is_dataclass(info.type) else None
    return spec and dataclasses.replace(spec, fields=tuple(map(_paragraph, spec.fields)))


def _paragraph(field: StructFieldSpec) -> StructFieldSpec:
    def text() -> str | None:
        told = field.helptext() if callable(field.helptext) else field.helptext
        if told is None and dataclasses.is_dataclass(field.default):
            told = type(field.default).__doc__
        return told and " ".join(told.split())

    kind: Any = Annotated[field.type, tyro.conf.arg(help_behavior_hint=_default)]
    return dataclasses.replace(field, helptext=text, type=kind)


def _default(text: str) -> str:
    return "" if text in {"", "''", "None", "False"} else f"(default: {text})"


@RULES.struct_rule
def _protocol(info: StructTypeInfo) -> StructConstructorSpec | None:
    """A change of a protocol, whose fields mean what those of `Protocol` do."""
    spec = _other_rules(_protocol, info) if info.type is ProtocolConfig else None
    whole = dataclasses.replace(info, type=Protocol, default=tyro.MISSING_NONPROP)
    meant = _other_rules(_protocol, whole) if spec else None
    if spec is None or meant is None:
        return None
    texts = {field.name: field.helptext for field in meant.fields if field.name != "name"}
    fields = [dataclasses.replace(f, helptext=texts.get(f.name, f.helptext)) for f in spec.fields]
    return dataclasses.replace(spec, fields=tuple(fields))


@RULES.struct_rule
def _clip(info: StructTypeInfo) -> StructConstructorSpec | None:
    """A CLIP as one option, `--teacher ARCHITECTURE:WEIGHTS`, with its other fields below it."""
    spec = _other_rules(_clip, info) if info.type is CLIPConfig else None
    if spec is None:
        return None
    default = info.default if isinstance(info.default, CLIPConfig) else CLIPConfig()
    kind: Any = Annotated[str, tyro.conf.arg(name="", metavar="ARCHITECTURE:WEIGHTS")]
    text = StructFieldSpec(name="text", type=kind, default=str(default), helptext=CLIP_HELP)
    rest = tuple(f for f in spec.fields if f.name not in {"architecture", "weights"})
    return StructConstructorSpec(
        lambda text, **rest: dataclasses.replace(CLIPConfig.parse(text), **rest), (text, *rest)
    )


@RULES.primitive_rule
def _windows(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Windows] | None:
    """Windows as one word, SIZE:STRIDE."""
    if info.type is not Windows:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="SIZE:STRIDE",
        instance_from_str=lambda words: Windows.parse(words[0]),
        is_instance=lambda value: isinstance(value, Windows),
        str_from_instance=lambda value: [str(value)],
    )


@RULES.struct_rule
def _correction(info: StructTypeInfo) -> StructConstructorSpec | None:
    """A correction by its kind, `--correction solve`, with its other fields below it."""
    spec = _other_rules(_correction, info) if info.type is Correction else None
    if spec is None:
        return None
    kind: Any = Annotated[Kind, tyro.conf.arg(name="")]
    fields = [dataclasses.replace(f, type=kind) if f.name == "kind" else f for f in spec.fields]
    return dataclasses.replace(spec, fields=tuple(fields))
