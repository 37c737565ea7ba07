//! `costrel user`, `group`, `role`, `key` and `policy`: administration of a running server,
//! here or elsewhere, by its IAM.

mod client;
mod commands;
mod show;
mod xml;

use std::path::PathBuf;

use crate::cli::{AdminCommand, PolicyFileArgs};
use crate::sign::SignError;

#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("'{0}' is no http:// or https:// URL of a server")]
    Endpoint(String),
    #[error("{}: {why}", path.display())]
    Certificates { path: PathBuf, why: String },
    #[error("TLS cannot be spoken: {0}")]
    Tls(String),
    #[error(transparent)]
    Key(#[from] SignError),
    #[error("no server answers at {host}: {source}")]
    Connect { host: String, source: std::io::Error },
    #[error("the server's answer cannot be read: {0}")]
    Answer(String),
    #[error("what answers at {host} is no endpoint of COS and S3: {status}")]
    NotIam { host: String, status: http::StatusCode },
    #[error("{message} ({code})")]
    Refused { code: String, message: String },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{0}")]
    Arguments(String),
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Does what a command says and shows what came of it.
pub fn run(command: AdminCommand) -> Result<(), AdminError> {
    let server = command.server();
    let json = server.json;
    let client = client::Client::new(server)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(commands::perform(&client, command))?;
    print!("{}", if json { format!("{answer:#}\n") } else { show::text(&answer) });
    Ok(())
}

impl PolicyFileArgs {
    /// The document; `-` is the standard input.
    fn read(&self) -> Result<String, AdminError> {
        let path = &self.file;
        let read = match path.as_os_str() == "-" {
            true => std::io::read_to_string(std::io::stdin()),
            false => std::fs::read_to_string(path),
        };
        read.map_err(|source| AdminError::File { path: path.clone(), source })
    }
}
