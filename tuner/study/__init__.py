"""Studies and their records: the only place that knows Optuna and SQLAlchemy."""
