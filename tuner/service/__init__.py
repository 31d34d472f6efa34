"""An export over HTTP: one page for people, a JSON API for programs."""
