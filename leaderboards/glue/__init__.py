"""GLUE: what its tasks can show, and predictions for its server."""
