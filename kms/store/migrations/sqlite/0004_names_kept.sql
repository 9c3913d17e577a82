-- Which names are kept when there are too many: those with the most failures, and the newest of them.
CREATE INDEX unknown_names_kept ON unknown_names (failures DESC, expires_ms DESC, name);
