"""optuna-dashboard over a storage object: the URL form re-reads every trial and takes seconds at thousands of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tuner.study.storage import open_optuna, open_readonly


def wsgi_app(url: str) -> Callable[..., Any]:
    """The dashboard's WSGI application; NotFoundError when there is no database."""
    import optuna_dashboard

    open_readonly(url).dispose()  # looking must not create a database
    app: Callable[..., Any] = optuna_dashboard.wsgi(open_optuna(url))
    return app
