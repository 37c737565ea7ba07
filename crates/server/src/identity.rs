//! Where secrets and the fixed identity come from: environment, files, and the
//! master key that a first start makes in the data directory.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use costrel_core::account::{FixedIdentity, InvalidIdentity, KeyPair};
use costrel_core::env::Entropy;
use costrel_core::secret::{MASTER_KEY_LEN, MasterKey};

use crate::config::{Config, EngineKind};

const ROOT_SECRET_ID: &str = "COSTREL_ROOT_SECRET_ID";
const ROOT_SECRET_KEY: &str = "COSTREL_ROOT_SECRET_KEY";
const MASTER_KEY: &str = "COSTREL_MASTER_KEY";
const MASTER_KEY_FILE: &str = "master.key";

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("both {0} and {1} are set")]
    Twice(&'static str, &'static str),
    #[error("a root key needs its id and its secret; only one of them is set")]
    HalfRootKey,
    #[error("the root key: {0}")]
    RootKey(#[from] InvalidIdentity),
    #[error(
        "gateways of one cluster seal secrets under the same master key: set {MASTER_KEY} or \
         master_key_file to 64 hexadecimal digits"
    )]
    NoMasterKey,
    #[error(
        "the running server's master key is not at {0}: tell its data_dir (--data-dir, or \
         --config with its file), or the key itself by {MASTER_KEY} or master_key_file"
    )]
    UnknownMasterKey(PathBuf),
    #[error("{0} is not the master key of the source")]
    AnotherMasterKey(PathBuf),
    #[error("{0} does not hold 64 hexadecimal digits")]
    MasterKey(String),
}

/// Looks up an environment variable.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment of the process.
pub fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What the configuration fixes of the account.
pub fn fixed(config: &Config, env: Env<'_>) -> Result<FixedIdentity, IdentityError> {
    let id =
        secret(env, ROOT_SECRET_ID, "root_secret_id_file", config.root_secret_id_file.as_deref())?;
    let key = secret(
        env,
        ROOT_SECRET_KEY,
        "root_secret_key_file",
        config.root_secret_key_file.as_deref(),
    )?;
    let root_key = match (id, key) {
        (Some(id), Some(key)) => Some(KeyPair::new(&id, &key)?),
        (None, None) => None,
        _ => return Err(IdentityError::HalfRootKey),
    };
    Ok(FixedIdentity { uin: config.owner_uin, appid: config.appid, root_key })
}

/// The master key, made in the data directory if it is nowhere and the directory
/// holds everything. Call it while the
/// data directory is locked, so that two processes do not make one each.
pub fn master_key(
    config: &Config,
    env: Env<'_>,
    entropy: &dyn Entropy,
) -> Result<MasterKey, IdentityError> {
    if let Some(key) = find_master_key(config, env)? {
        return Ok(key);
    }
    let path = config.data_dir.join(MASTER_KEY_FILE);
    let mut bytes = [0; MASTER_KEY_LEN];
    entropy.fill(&mut bytes);
    write_durably(&path, format!("{}\n", hex::encode(bytes)).as_bytes())
        .map_err(|source| IdentityError::File { path, source })?;
    Ok(MasterKey::new(&bytes))
}

/// The master key of a server that has run before.
pub fn known_master_key(config: &Config, env: Env<'_>) -> Result<MasterKey, IdentityError> {
    let unknown = || IdentityError::UnknownMasterKey(config.data_dir.join(MASTER_KEY_FILE));
    find_master_key(config, env)?.ok_or_else(unknown)
}

/// Gives a copy of a data directory the master key that its secrets are sealed under,
/// if the directory holds one.
pub fn copy_master_key(from: &Path, to: &Path) -> Result<(), IdentityError> {
    let (from, to) = (from.join(MASTER_KEY_FILE), to.join(MASTER_KEY_FILE));
    if !from.exists() {
        return Ok(());
    }
    let key = read_secret(&from)?;
    if to.exists() {
        return match read_secret(&to)? == key {
            true => Ok(()),
            false => Err(IdentityError::AnotherMasterKey(to)),
        };
    }
    write_durably(&to, format!("{key}\n").as_bytes())
        .map_err(|source| IdentityError::File { path: to, source })
}

/// The master key, if there is one yet.
fn find_master_key(config: &Config, env: Env<'_>) -> Result<Option<MasterKey>, IdentityError> {
    let given = config.master_key_file.as_deref();
    if let Some(digits) = secret(env, MASTER_KEY, "master_key_file", given)? {
        let source = given.map_or(MASTER_KEY.to_owned(), |path| path.display().to_string());
        return parse_master_key(&digits, source).map(Some);
    }
    if config.engine == EngineKind::Rados {
        return Err(IdentityError::NoMasterKey);
    }
    let path = config.data_dir.join(MASTER_KEY_FILE);
    match path.exists() {
        true => parse_master_key(&read_secret(&path)?, path.display().to_string()).map(Some),
        false => Ok(None),
    }
}

fn parse_master_key(digits: &str, source: String) -> Result<MasterKey, IdentityError> {
    let mut bytes = [0; MASTER_KEY_LEN];
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| IdentityError::MasterKey(source))?;
    Ok(MasterKey::new(&bytes))
}

/// A secret from its variable or its file, if one of them is set.
fn secret(
    env: Env<'_>,
    variable: &'static str,
    setting: &'static str,
    file: Option<&Path>,
) -> Result<Option<String>, IdentityError> {
    match (env(variable), file) {
        (Some(_), Some(_)) => Err(IdentityError::Twice(variable, setting)),
        (Some(value), None) => Ok(Some(value)),
        (None, Some(path)) => read_secret(path).map(Some),
        (None, None) => Ok(None),
    }
}

fn read_secret(path: &Path) -> Result<String, IdentityError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| IdentityError::File { path: path.to_owned(), source })?;
    let others_read =
        std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o007 != 0);
    if others_read {
        tracing::warn!(path = %path.display(), "a secret's file is open to every user");
    }
    Ok(text.trim().to_owned())
}

/// Writes a file for the owner alone: whole and on stable storage, or not at all.
fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Given;
    use crate::world::SystemEntropy;

    fn config(data_dir: &Path) -> Config {
        Given { data_dir: Some(data_dir.to_owned()), ..Given::default() }.or(Given::default())
    }

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn root_key_env(name: &str) -> Option<String> {
        match name {
            ROOT_SECRET_ID => Some("AKIDroot".into()),
            ROOT_SECRET_KEY => Some("root-secret".into()),
            _ => None,
        }
    }

    #[test]
    fn a_root_key_comes_from_variables_or_files_and_not_from_both() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        assert!(fixed(&config, &nothing).unwrap().root_key.is_none());
        let pair = fixed(&config, &root_key_env).unwrap().root_key.unwrap();
        assert_eq!((pair.id(), pair.secret().expose()), ("AKIDroot", "root-secret"));

        let only_id = |name: &str| root_key_env(name).filter(|_| name == ROOT_SECRET_ID);
        assert!(matches!(fixed(&config, &only_id), Err(IdentityError::HalfRootKey)));

        let path = dir.path().join("secret");
        std::fs::write(&path, "from-a-file\n").unwrap();
        config.root_secret_key_file = Some(path);
        assert!(matches!(fixed(&config, &root_key_env), Err(IdentityError::Twice(..))));
        let pair = fixed(&config, &only_id).unwrap().root_key.unwrap();
        assert_eq!(pair.secret().expose(), "from-a-file");
    }

    #[test]
    fn the_master_key_is_made_once_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        master_key(&config, &nothing, &SystemEntropy).unwrap();
        let path = dir.path().join(MASTER_KEY_FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let first = std::fs::read(&path).unwrap();
        master_key(&config, &nothing, &SystemEntropy).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), first);

        std::fs::write(&path, "not a key").unwrap();
        let error = master_key(&config, &nothing, &SystemEntropy).unwrap_err();
        assert!(matches!(error, IdentityError::MasterKey(_)), "{error}");
    }

    #[test]
    fn gateways_are_given_their_master_key() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { engine: EngineKind::Rados, ..config(dir.path()) };
        let error = master_key(&config, &nothing, &SystemEntropy).unwrap_err();
        assert!(matches!(error, IdentityError::NoMasterKey), "{error}");
        let env = |name: &str| (name == MASTER_KEY).then(|| "07".repeat(32));
        master_key(&config, &env, &SystemEntropy).unwrap();
    }

    #[test]
    fn a_given_master_key_makes_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let env = |name: &str| (name == MASTER_KEY).then(|| "07".repeat(32));
        master_key(&config(dir.path()), &env, &SystemEntropy).unwrap();
        assert!(!dir.path().join(MASTER_KEY_FILE).exists());
    }
}
