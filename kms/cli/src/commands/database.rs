//! Which PostgreSQL database a command works on.

use std::path::PathBuf;

use keyward_store::{Location, PostgresServer};

use crate::failure::{Failure, Result};
use crate::files;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DatabaseArguments {
    /// The database, without a password: `postgres://user@host:port/name`, or `postgres:///name?host=/folder/of/the/socket`.
    #[arg(long = "database", value_name = "URL")]
    pub(crate) url: String,
    /// The file with its password; without it `PGPASSFILE` and `~/.pgpass` are asked.
    #[arg(long = "database-password", value_name = "FILE")]
    password: Option<PathBuf>,
}

impl DatabaseArguments {
    pub(crate) fn server(&self) -> Result<PostgresServer> {
        let password = match &self.password {
            Some(path) => Some(files::read_secret(path)?.trim_end().to_owned()),
            None => None,
        };
        let next =
            "give `postgres://user@host:port/name`, and the password in a file (`--database-password`)";
        let wrong = || Failure::usage("`--database` names no PostgreSQL database", next);
        match Location::postgres(&self.url, password).map_err(|error| wrong().because(&error))? {
            Location::Postgres(server) => Ok(server),
            Location::File(_) => Err(wrong()),
        }
    }
}
