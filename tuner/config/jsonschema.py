"""The JSON Schema of the space file, made from the section classes: what editors complete and check while one types.

Draft 7, which yaml-language-server understands best. It is weaker than the checks of `tuner.config.spec`: it knows
names, types and limits, but no relation between two values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from tuner.config.beliefs import CONFIDENCES
from tuner.config.constraints import MAX_CONSTRAINTS
from tuner.config.domains import RANGE_KEYS
from tuner.config.expressions import MAX_LENGTH
from tuner.config.fields import FieldType, field_at
from tuner.config.metrics import COSTS, METRICS, OF_CLASS, TOP_K
from tuner.config.objectives import MAX_OBJECTIVES
from tuner.config.schema import DEFAULT_KINDS, Section
from tuner.config.schema.metrics import OwnMetric
from tuner.config.searching import STUDY_NAME, VERSION
from tuner.config.sections import CLASSES, KINDS, TRIAL_SECTIONS, class_of
from tuner.config.targets import paths_of
from tuner.config.tracking import MAX_TRACKERS
from tuner.config.tracking import NAME as TRACKERS
from tuner.space.durations import PATTERN

JsonSchema = dict[str, Any]

_NULL: JsonSchema = {"type": "null"}
_OFF: JsonSchema = {"const": "off"}


def json_schema() -> JsonSchema:
    """The JSON Schema (draft 7) of a whole space file."""
    definitions: dict[str, JsonSchema] = _entry_definitions()
    properties: dict[str, JsonSchema] = {
        "version": {"const": VERSION, "description": "Version of the file's format."},
        "study": {"type": "string", "pattern": STUDY_NAME, "description": "Name of the study. Default: the file's."},
        "seed": {"type": "integer", "minimum": 0, "description": "All random numbers are derived from it. Default: 0."},
        "objective": _objective(_reference(_plain_section("objective", definitions))),
        "constraints": _constraints(),
        "metrics": _recorded(definitions),
        **{name: _section(name, definitions) for name in TRIAL_SECTIONS},
        "space": {"anyOf": [{"$ref": "#/definitions/space"}, _NULL], "description": "What varies, by dotted path."},
        "search": {"anyOf": [_reference(_plain_section("search", definitions)), _NULL]},
        "confirm": {"anyOf": [_reference(_plain_section("confirm", definitions)), _OFF, _NULL]},
        "trackers": _trackers(definitions),
    }
    definitions["space"] = _space()
    _refine(definitions)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "tuner space file",
        "description": "One training run, what of it varies, and how to search.",
        "type": "object",
        "additionalProperties": False,
        **_by_trainer(),
        "properties": properties,
        "definitions": definitions,
    }


def _objective(one: JsonSchema) -> JsonSchema:
    several = {"type": "array", "minItems": 1, "maxItems": MAX_OBJECTIVES, "items": one}
    return {"anyOf": [one, several], "description": "What is optimised; a list is several objectives."}


def _constraints() -> JsonSchema:
    texts: JsonSchema = {
        "type": "array",
        "maxItems": MAX_CONSTRAINTS,
        "items": {"type": "string", "maxLength": MAX_LENGTH},
        "description": 'What a winner has to meet: ["params <= 2e6", "latency_ms <= 5"].',
    }
    return {"anyOf": [texts, _NULL]}


def _trackers(definitions: dict[str, JsonSchema]) -> JsonSchema:
    kinds: JsonSchema = {"enum": [kind for kind in KINDS[TRACKERS] if kind != "python"]}
    branches = [_reference(branch) for branch in _kinds(TRACKERS, definitions)]
    own: JsonSchema = {"type": "string", "pattern": "^.+:.+$", "description": "A class: file.py:Class."}
    one: JsonSchema = {"anyOf": [kinds, own, {"oneOf": branches}]}
    several: JsonSchema = {"type": "array", "maxItems": MAX_TRACKERS, "items": one}
    return {"anyOf": [several, one, _OFF, _NULL], "description": "Who is told what the search does."}


def _reference(name: str) -> JsonSchema:
    return {"$ref": f"#/definitions/{name}"}


# ------------------------------------------------------------------------------------------------------------- sections


def _section(name: str, definitions: dict[str, JsonSchema]) -> JsonSchema:
    if name not in KINDS:
        return {"anyOf": [_reference(_plain_section(name, definitions)), _NULL]}
    branches = [_reference(branch) for branch in _kinds(name, definitions)]
    return {"oneOf": branches if name == "data" else [*branches, _NULL]}


def _kinds(name: str, definitions: dict[str, JsonSchema]) -> list[str]:
    """Define the class of every kind; all but the default one must name their kind."""
    default = DEFAULT_KINDS.get(name)
    classes = {cls: kind for kind, cls in KINDS[name].items()}
    for cls, kind in classes.items():
        schema = _define(cls, definitions)
        required = {*schema.get("required", ()), "kind"} - ({"kind"} if kind == default else set())
        schema["required"] = sorted(required)
    return [cls.__name__ for cls in classes]


def _plain_section(name: str, definitions: dict[str, JsonSchema]) -> str:
    cls = CLASSES[name]
    _define(cls, definitions)
    return cls.__name__


def _define(cls: type[Section], definitions: dict[str, JsonSchema]) -> JsonSchema:
    schema = cls.model_json_schema(ref_template="#/definitions/{model}")
    for name, nested in schema.pop("$defs", {}).items():
        definitions.setdefault(name, _draft_7(nested))
    definitions[cls.__name__] = _draft_7(schema)
    return definitions[cls.__name__]


def _draft_7(schema: Any) -> Any:
    """A schema of pydantic (2020-12) in draft 7: tuples spelled differently, `$ref` on its own, no titles."""
    if isinstance(schema, list):
        return [_draft_7(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _draft_7(value) for key, value in schema.items() if not (key == "title" and isinstance(value, str))}
    if "prefixItems" in found:
        found["items"] = found.pop("prefixItems")
        found["additionalItems"] = False
    if "$ref" in found and len(found) > 1:
        found["allOf"] = [{"$ref": found.pop("$ref")}]
    if "anyOf" in found and _NULL in found["anyOf"] and any("$ref" in item for item in found["anyOf"]):
        found["anyOf"] = [*found["anyOf"], _OFF]  # a section that may be missing can be turned off
    return found


def _by_trainer() -> JsonSchema:
    """Tuner's own loop needs data and knows its metrics; own training code has any metric, with its direction."""
    kind = {"properties": {"kind": {"const": "python"}}, "required": ["kind"]}
    one = {"required": ["metric", "direction"]}
    directed = {"properties": {"objective": {**one, "items": one}}, "required": ["objective"]}
    named = {"properties": {"metric": _metric_name()}}
    known = {
        "required": ["data"],
        "if": {"required": ["metrics"]},  # which can name the user's own
        "then": {},
        "else": {"properties": {"objective": {**named, "items": named}}},
    }
    return {"if": {"properties": {"train": kind}, "required": ["train"]}, "then": directed, "else": known}


def _recorded(definitions: dict[str, JsonSchema]) -> JsonSchema:
    own = _define(OwnMetric, definitions)
    return {
        "anyOf": [{"type": "array", "items": {"anyOf": [_metric_name(), own]}}, _NULL],
        "description": "What every epoch records: names of metrics, and functions of your own.",
    }


def _metric_name() -> JsonSchema:
    patterns = (TOP_K.pattern, OF_CLASS.pattern)
    return {"anyOf": [{"enum": _metric_names()}, *({"type": "string", "pattern": f"^(val/)?{it}$"} for it in patterns)]}


def _metric_names() -> list[str]:
    return [*METRICS, *(f"val/{name}" for name in METRICS), *COSTS]


def _refine(definitions: dict[str, JsonSchema]) -> None:
    """What the file accepts beyond the classes: names of metrics, short forms, durations."""
    definitions["Objective"]["properties"]["metric"].update(anyOf=[{"enum": _metric_names()}, {"type": "string"}])
    search = definitions["Search"]["properties"]
    for name in ("sampler", "pruner"):
        kinds: JsonSchema = {"enum": list(KINDS[f"search.{name}"])}
        branches = [_reference(branch) for branch in _kinds(f"search.{name}", definitions)]
        search[name] = {"anyOf": [kinds, {"oneOf": branches}], "description": f"Name of a {name}, or its settings."}
    search["timeout"] = {
        "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": PATTERN}, _NULL],
        "description": search["timeout"]["description"],
    }


# ---------------------------------------------------------------------------------------------------------------- space


def _space() -> JsonSchema:
    paths = {path: fields for name in TRIAL_SECTIONS for path, fields in _searchable(name).items()}
    lists = [path for path, fields in paths.items() if any(field.descend("0") for field in fields)]
    items = "|".join(path.replace(".", r"\.") for path in lists)
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {path: _entry(fields) for path, fields in paths.items()},
        "patternProperties": {
            rf"^({items})\.\d+$": _entry([FieldType(annotation=Any)]),
            r"^(data|model|train)\.options\..+$": _entry([FieldType(annotation=Any)]),
        },
    }


def _searchable(section: str) -> Mapping[str, list[FieldType]]:
    found: dict[str, list[FieldType]] = {}
    for kind in KINDS.get(section, (None,)):
        cls = class_of(section, kind)
        for path in paths_of(section, kind):
            field = field_at(cls, tuple(path.split(".")[1:]))
            assert field is not None
            known = found.setdefault(path, [])
            if field not in known:
                known.append(field)
    return found


def _entry(fields: list[FieldType]) -> JsonSchema:
    """What an entry for a field of these types (under its section's kinds) may look like."""
    choices = {"type": "array", "minItems": 2, "uniqueItems": True, "items": _choice(fields)}
    forms: list[JsonSchema] = [choices, _mapping({"choices": choices}, ["choices"])]
    numbers = {field.number_type for field in fields}
    if None not in numbers:
        forms.append(_reference("intRange" if numbers == {"int"} else "range"))
    description = next((field.description for field in fields if field.description), "")
    return {"anyOf": forms, **({"description": description} if description else {})}


def _choice(fields: list[FieldType]) -> JsonSchema:
    values = list(dict.fromkeys(value for field in fields for value in _literals(field)))
    if values:
        return {"enum": values}
    if all(field.annotation is bool for field in fields):
        return {"type": "boolean"}
    return {}


def _literals(field: FieldType) -> Iterator[Any]:
    """The values of an enumerated field; nothing when it takes others, too."""
    if field.names and all(member.names for member in field.members):
        yield from get_args(field.annotation)


def _entry_definitions() -> dict[str, JsonSchema]:
    number, integer = {"type": "number"}, {"type": "integer"}
    return {
        "range": _mapping(_range(number, {"enum": ["int", "float"]}), ["low", "high"]),
        "intRange": _mapping(_range(integer, {"const": "int"}), ["low", "high"]),
    }


def _range(bound: JsonSchema, kind: JsonSchema) -> dict[str, JsonSchema]:
    forms: dict[str, JsonSchema] = {
        "low": {**bound, "description": "Smallest value, included."},
        "high": {**bound, "description": "Largest value, included."},
        "log": {"type": "boolean", "description": "Search evenly in the logarithm; low must be above 0."},
        "step": {"anyOf": [{**bound, "exclusiveMinimum": 0}, _NULL], "description": "Only low, low + step, ..., high."},
        "type": {**kind, "description": "Needed only where the target does not say: free options."},
    }
    return {key: forms[key] for key in RANGE_KEYS}


def _mapping(properties: Mapping[str, JsonSchema], required: list[str]) -> JsonSchema:
    relations: dict[str, JsonSchema] = {
        "when": {
            "type": "object",
            "minProperties": 1,
            "description": "The parameter exists only when each path has the value, or one of the values, given here.",
        },
        "prior": {
            "type": "object",
            "additionalProperties": False,
            "required": ["center"],
            "properties": {"center": {}, "confidence": {"enum": list(CONFIDENCES)}},
            "description": "Where you expect the best value; forgotten when the trials disagree.",
        },
        "each": {"type": "string", "description": "One value a layer: the path of the number of layers."},
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": {**properties, **relations},
    }
