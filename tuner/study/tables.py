"""The tables that we add to Optuna's, and the columns of Optuna's that we read and write ourselves.

Ours hold only what Optuna cannot: curves of every metric, attempts, checkpoints with checksums, sessions. They are
keyed by the study's `uid` and not by Optuna's study_id, since SQLite gives the id of a deleted study to the next one.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Enum,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    TableClause,
    Text,
    column,
    table,
)

SCHEMA_VERSION = 1

metadata = MetaData()


def _key(name: str = "uid") -> Column[str]:
    return Column(name, String(32), primary_key=True)


def _number(name: str) -> Column[int]:
    return Column(name, Integer, primary_key=True, autoincrement=False)


studies = Table(
    "tuner_studies",
    metadata,
    _key(),
    Column("name", String(512), nullable=False),
    Column("study_id", Integer, nullable=False),  # 0 until Optuna's study stands
    Column("schema_version", Integer, nullable=False),
    Column("created_at", Float, nullable=False),  # seconds since 1970
    Column("spec", Text, nullable=False),  # JSON: Spec.to_json
    Column("data", Text, nullable=False),  # JSON: DataInfo.to_json
    Column("code", Text, nullable=False),  # JSON: {target: sha256 of its file}
    Column("versions", Text, nullable=False),  # JSON: {package: version}
)

sessions = Table(
    "tuner_sessions",
    metadata,
    _key(),
    _number("session"),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("seconds", Float, nullable=False),  # how long it has run, as of its last record
    Column("machine", Text, nullable=False, server_default="{}"),  # JSON: {what numbers depend on: name or version}
)

trials = Table(
    "tuner_trials",
    metadata,
    _key(),
    _number("trial"),
    Column("state", String(16), nullable=False),
    Column("reason", String(64), nullable=False, default=""),
    Column("message", Text, nullable=False, default=""),
    Column("seed", BigInteger, nullable=False),
    Column("config", Text, nullable=False),  # JSON: TrialConfig
    Column("best_epoch", Integer, nullable=False, default=0),  # 0: none
)

attempts = Table(
    "tuner_attempts",
    metadata,
    _key(),
    _number("trial"),
    _number("attempt"),
    Column("session", Integer, nullable=False),
    Column("first_epoch", Integer, nullable=False),
    Column("goal", Integer, nullable=False, server_default="0"),  # the epoch at which it pauses or ends; 0: not known
    Column("started_at", Float, nullable=False),
    Column("seconds", Float, nullable=False, default=0.0),
    Column("threads", Integer, nullable=False),
    Column("device", String(32), nullable=False),
    Column("outcome", String(16), nullable=False, default=""),  # empty while it runs
    Column("message", Text, nullable=False, default=""),
    Column("cause", Text, nullable=False, default=""),
    Column("picked", Text, nullable=False, server_default="{}"),  # JSON: {what: what `auto` came to}
    Column("worker", Integer, nullable=False, server_default="0"),  # from 1, for those who watch; 0: not known
    Column("pid", Integer, nullable=False, server_default="0"),  # of the worker, on the session's host
)

epochs = Table(
    "tuner_epochs",
    metadata,
    _key(),
    _number("trial"),
    _number("epoch"),
    Column("attempt", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("metrics", Text, nullable=False),  # JSON: {"val/loss": number or null when not finite}
)

checkpoints = Table(
    "tuner_checkpoints",
    metadata,
    _key(),
    _number("trial"),
    _number("epoch"),
    Column("file", String(255), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
)

confirmations = Table(
    "tuner_confirmations",
    metadata,
    _key(),  # the study's; the run's other rows are in the tables above, under `confirm_uid` and its number
    _number("run"),
    Column("trial", Integer, nullable=False),  # whose config it trains
    Column("repeat", Integer, nullable=False),  # 1, 2, ...: on which fresh seed
    Column("value", Float, nullable=True),  # of its best epoch; null while it is open, and when it failed
)

ADDED = (
    (attempts, "picked", "TEXT NOT NULL DEFAULT '{}'"),
    (attempts, "goal", "INTEGER NOT NULL DEFAULT 0"),
    (attempts, "worker", "INTEGER NOT NULL DEFAULT 0"),
    (attempts, "pid", "INTEGER NOT NULL DEFAULT 0"),
    (sessions, "machine", "TEXT NOT NULL DEFAULT '{}'"),
)
"""Columns that databases of schema 1 may lack: added when they are opened for writing, passed over by readers."""

# Optuna 5's own tables, as far as we read and write them. The types are named for PostgreSQL, which has its own for
# each enumeration and takes no text for one.
_state = Enum("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING", name="trialstate")
_value_type = Enum("FINITE", "INF_POS", "INF_NEG", name="trialvaluetype")
_intermediate_type = Enum("FINITE", "INF_POS", "INF_NEG", "NAN", name="trialintermediatevaluetype")


def _attributes(name: str, owner: str) -> TableClause:
    return table(name, column(owner, Integer), column("key", String), column("value_json", Text))


optuna_studies = table("studies", column("study_id", Integer), column("study_name", String))
optuna_directions = table("study_directions", column("study_id"), column("direction"), column("objective"))
optuna_study_attrs = _attributes("study_user_attributes", "study_id")
optuna_user_attrs = _attributes("trial_user_attributes", "trial_id")
optuna_system_attrs = _attributes("trial_system_attributes", "trial_id")
optuna_trials = table(
    "trials",
    column("trial_id", Integer),
    column("number", Integer),
    column("study_id", Integer),
    column("state", _state),
    column("datetime_start", DateTime),
    column("datetime_complete", DateTime),
)
optuna_values = table(
    "trial_values",
    column("trial_id", Integer),
    column("objective", Integer),
    column("value", Float),
    column("value_type", _value_type),
)
optuna_params = table(
    "trial_params",
    column("param_id", Integer),
    column("trial_id", Integer),
    column("param_name", String),
    column("param_value", Float),
    column("distribution_json", Text),
)
optuna_intermediate = table(
    "trial_intermediate_values",
    column("trial_id", Integer),
    column("step", Integer),
    column("intermediate_value", Float),
    column("intermediate_value_type", _intermediate_type),
)
