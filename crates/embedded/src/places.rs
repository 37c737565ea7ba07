//! Places for blobs in other directories, on other disks.
//!
//! A place and the data directory know each other by an id that both keep, so that
//! a disk that is not mounted, or another installation's, is noticed at the start and
//! not when bodies are missing.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use crate::data_dir::{OpenError, read_short, write_short};
use crate::disk::Disk;

/// In the data directory, the beginning of a name; the place's follows.
const KNOWN_PREFIX: &str = "place-";
/// In the place's directory.
const PLACE_FILE: &str = "place";
const NEW_FILE: &str = "place.new";
/// There from a place's first opening on.
pub(crate) const BLOBS_DIR: &str = "blobs";

type Located<'a> = (&'a dyn Disk, &'a Path);

/// Refuses to open without a place that was used before: it may hold bodies.
pub(crate) fn check(
    disk: &dyn Disk,
    dir: &Path,
    places: &[(String, PathBuf)],
) -> Result<(), OpenError> {
    for entry in disk.list_dir(Path::new("")).map_err(failed(dir, "list the files"))? {
        let Some(name) = entry.name.strip_prefix(KNOWN_PREFIX) else { continue };
        if !places.iter().any(|(known, _)| known == name) {
            let problem = "it was used before, and no directory is given for it";
            return Err(problem_of(name, dir, problem));
        }
    }
    Ok(())
}

/// Makes a new place known, or proves that it is the one that is known. Blocks.
pub(crate) fn claim(main: Located<'_>, place: Located<'_>, name: &str) -> Result<(), OpenError> {
    let read = failed(place.1, "read the place's file");
    let write = failed(place.1, "write the place's file");
    let known_path = PathBuf::from(format!("{KNOWN_PREFIX}{name}"));
    let known = read_short(main.0, &known_path).map_err(failed(main.1, "read a place's file"))?;
    let found = read_short(place.0, Path::new(PLACE_FILE)).map_err(&read)?;
    if let Some(known) = known {
        return match found {
            Some(found) if found == known => Ok(()),
            Some(_) => Err(problem_of(name, place.1, "it belongs to another installation")),
            None => Err(problem_of(name, place.1, "it is not there; is its disk mounted?")),
        };
    }
    // A place in use has bodies, and its installation knows it.
    let entries = place.0.list_dir(Path::new("")).map_err(&read)?;
    let ours = [PLACE_FILE, NEW_FILE, "lost+found"];
    if entries.iter().any(|entry| entry.name == BLOBS_DIR) {
        return Err(problem_of(name, place.1, "it holds the bodies of another installation"));
    }
    if let Some(entry) = entries.iter().find(|entry| !ours.contains(&&entry.name[..])) {
        let problem = format!("it is to be empty but holds {:?}", entry.name);
        return Err(problem_of(name, place.1, &problem));
    }
    let id = || RandomState::new().hash_one(name);
    let text = format!("{:016x}{:016x}\n", id(), id());
    write_short(place.0, Path::new(NEW_FILE), Path::new(PLACE_FILE), text.as_bytes())
        .map_err(write)?;
    write_short(main.0, Path::new(NEW_FILE), &known_path, text.as_bytes())
        .map_err(failed(main.1, "write a place's file"))
}

fn failed(dir: &Path, action: &'static str) -> impl Fn(io::Error) -> OpenError {
    let dir = dir.to_path_buf();
    move |source| OpenError::Io { dir: dir.clone(), action, source }
}

fn problem_of(name: &str, dir: &Path, problem: &str) -> OpenError {
    OpenError::Place { name: name.to_owned(), dir: dir.to_path_buf(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use crate::engine::EmbeddedEngine;
    use crate::options::{Durability, Options};

    #[tokio::test]
    async fn a_place_is_the_one_that_was_used_before() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let open = |main: &str, places: &[(&str, &str)]| {
            let mut options = Options::new(at(main));
            (options.durability, options.reserve_bytes) = (Durability::None, 0);
            options.places = places.iter().map(|(n, d)| (n.to_string(), at(d))).collect();
            EmbeddedEngine::open(options)
        };
        use costrel_core::engine::Engine;
        let closed = async |opened: Result<std::sync::Arc<EmbeddedEngine>, _>| match opened {
            Ok(engine) => {
                engine.close().await.unwrap();
                String::new()
            }
            Err(error) => crate::OpenError::to_string(&error),
        };
        assert_eq!(closed(open("main", &[("cold", "c")])).await, "");
        assert_eq!(closed(open("main", &[("cold", "c"), ("deep", "d")])).await, "");
        let said = closed(open("main", &[("cold", "c")])).await;
        assert!(said.contains("'deep'") && said.contains("used before"), "{said}");
        let said = closed(open("main", &[("cold", "d"), ("deep", "c")])).await;
        assert!(said.contains("another installation"), "{said}");
        let said = closed(open("other", &[("cold", "c")])).await;
        assert!(said.contains("another installation"), "{said}");
        let said = closed(open("main", &[("cold", "unmounted"), ("deep", "d")])).await;
        assert!(said.contains("mounted"), "{said}");
        let said = closed(open("main", &[("cold", "c"), ("deep", "d"), ("no", "main")])).await;
        assert!(said.contains("'no'"), "{said}");
        assert_eq!(closed(open("main", &[("cold", "c"), ("deep", "d")])).await, "");
    }
}
