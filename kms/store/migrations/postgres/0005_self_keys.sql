-- Keys of mode `self`: the private part is on the person's side, so nothing is sealed here.
ALTER TABLE keys DROP CONSTRAINT keys_mode_check;
ALTER TABLE keys ADD CONSTRAINT keys_mode_check CHECK (mode IN ('linked', 'hosted', 'self'));

-- Registrations under way were answered under the user name, and are kept under a name of their own from here on: those who
-- began one begin again.
DELETE FROM registrations;
