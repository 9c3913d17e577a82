-- Keys of mode `shared`: the person and keepers hold shares of them; here is what is public of one, nothing else.
ALTER TABLE keys ADD COLUMN shared BYTEA;
ALTER TABLE keys DROP CONSTRAINT keys_mode_check;
ALTER TABLE keys ADD CONSTRAINT keys_mode_check CHECK (mode IN ('linked', 'hosted', 'self', 'shared'));
ALTER TABLE keys ADD CONSTRAINT keys_shared_check CHECK ((mode = 'shared') = (shared IS NOT NULL));
