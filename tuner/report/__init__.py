"""Reports: what is known of a study, as one HTML page or as Markdown."""
