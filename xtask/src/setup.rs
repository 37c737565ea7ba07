//! What the suites need besides Rust: Debian packages, a Python environment with
//! the official clients, npm packages, coscli, strace. Everything but the Debian packages
//! lies in a cache folder outside the checkout, under the hash of the file that
//! pins it, so that fresh clones find it ready.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{process, root};

/// The release of coscli that the suites drive. Its module cannot be installed
/// by `go install` (it calls itself `coscli`), so it is built from its source.
const COSCLI: (&str, &str) = ("https://github.com/tencentyun/coscli", "v1.0.6");

/// Something a suite cannot run without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Python,
    Node,
    Go,
    Rclone,
    Coscli,
    /// The daemons and tools of a Ceph cluster.
    Ceph,
    /// Message brokers.
    Brokers,
    Strace,
}

/// The cache folder: `$COSTREL_TEST_CACHE`, or `costrel-tests` in the user's.
pub fn cache() -> Result<PathBuf, String> {
    let folder = if let Some(folder) = std::env::var_os("COSTREL_TEST_CACHE") {
        PathBuf::from(folder)
    } else if let Some(folder) = std::env::var_os("XDG_CACHE_HOME") {
        PathBuf::from(folder).join("costrel-tests")
    } else {
        let home = std::env::var_os("HOME").ok_or("HOME is not set")?;
        PathBuf::from(home).join(".cache/costrel-tests")
    };
    std::fs::create_dir_all(&folder)
        .map_err(|e| format!("cannot create {}: {e}", folder.display()))?;
    Ok(folder)
}

/// Places of what was set up; `None` where it cannot be had on this machine.
#[derive(Debug)]
pub struct Tools {
    pub cache: PathBuf,
    /// `bin` of the Python environment.
    pub python: Option<PathBuf>,
    /// `node_modules` with the pinned packages.
    pub node: Option<PathBuf>,
    pub go: Option<PathBuf>,
    pub rclone: Option<PathBuf>,
    pub coscli: Option<PathBuf>,
    pub ceph: Option<PathBuf>,
    pub brokers: Option<PathBuf>,
    pub strace: Option<PathBuf>,
}

impl Tools {
    pub fn has(&self, need: Need) -> bool {
        match need {
            Need::Python => self.python.is_some(),
            Need::Node => self.node.is_some(),
            Need::Go => self.go.is_some(),
            Need::Rclone => self.rclone.is_some(),
            Need::Coscli => self.coscli.is_some(),
            Need::Ceph => self.ceph.is_some(),
            Need::Brokers => self.brokers.is_some(),
            Need::Strace => self.strace.is_some(),
        }
    }

    /// Sets up what `needed` names. What is missing and cannot be had is
    /// reported and left out, but for Python: almost every suite needs it.
    pub fn set_up(needed: &[Need]) -> Result<Tools, String> {
        let cache = cache()?;
        // Two runs at once would build the same environment into one place.
        let lock_path = cache.join("lock");
        let lock = File::create(&lock_path)
            .map_err(|e| format!("cannot create {}: {e}", lock_path.display()))?;
        lock.lock().map_err(|e| format!("cannot lock {}: {e}", lock_path.display()))?;

        let mut tools = Tools {
            cache,
            python: None,
            node: None,
            go: None,
            rclone: None,
            coscli: None,
            ceph: None,
            brokers: None,
            strace: None,
        };
        if needed.contains(&Need::Python) {
            tools.python = Some(python(&tools.cache)?);
        }
        if needed.contains(&Need::Rclone) {
            tools.rclone = left_out("rclone", debian_program("rclone", &["rclone"]));
        }
        if needed.contains(&Need::Ceph) {
            let packages = ["ceph-mon", "ceph-osd", "ceph-common", "librados2"];
            tools.ceph = left_out("Ceph", debian_program("ceph-osd", &packages));
            // One test leads clients through it, and is left out without it.
            left_out("HAProxy", debian_program("haproxy", &["haproxy"]));
        }
        if needed.contains(&Need::Brokers) {
            tools.brokers = left_out("the brokers", brokers());
        }
        if needed.contains(&Need::Strace) {
            tools.strace = left_out("strace", strace());
        }
        if needed.contains(&Need::Node) {
            tools.node = left_out("the Node.js clients", node(&tools.cache));
        }
        if needed.contains(&Need::Go) || needed.contains(&Need::Coscli) {
            let go = process::which("go").ok_or("there is no Go toolchain".to_owned());
            tools.go = left_out("the Go clients", go);
        }
        if let (true, Some(go)) = (needed.contains(&Need::Coscli), &tools.go) {
            tools.coscli = left_out("coscli", coscli(&tools.cache, go));
        }
        Ok(tools)
    }
}

fn left_out(what: &str, found: Result<PathBuf, String>) -> Option<PathBuf> {
    found.inspect_err(|why| println!("set-up: {what} left out: {why}")).ok()
}

/// FNV-1a: stable between runs and compilers, which the standard hasher is not.
fn fingerprint(parts: &[&[u8]]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.iter().copied().flatten() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}

/// Makes `folder` with `build` unless an earlier run has finished it.
fn once(folder: &Path, build: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let complete = folder.join(".complete");
    if complete.exists() {
        return Ok(());
    }
    if folder.exists() {
        std::fs::remove_dir_all(folder)
            .map_err(|e| format!("cannot remove {}: {e}", folder.display()))?;
    }
    println!("set-up: building {}", folder.display());
    std::fs::create_dir_all(folder)
        .map_err(|e| format!("cannot create {}: {e}", folder.display()))?;
    build()?;
    File::create(&complete).map_err(|e| format!("cannot create {}: {e}", complete.display()))?;
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))
}

/// Installs Debian packages, if this is Debian and the user may.
fn debian_install(packages: &[&str]) -> Result<(), String> {
    let wanted = packages.join(" ");
    if process::which("apt-get").is_none() {
        return Err(format!("please install {wanted}"));
    }
    let is_root = process::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    let apt_get = || {
        let mut command = Command::new(if is_root { "apt-get" } else { "sudo" });
        if !is_root {
            command.args(["-n", "apt-get"]);
        }
        command.env("DEBIAN_FRONTEND", "noninteractive");
        // Another installation on the machine ends sooner or later.
        command.args(["-o", "DPkg::Lock::Timeout=300"]);
        command
    };
    println!("set-up: installing {wanted}");
    let install = || {
        process::run(
            apt_get().args(["-qq", "-y", "--no-install-recommends", "install"]).args(packages),
        )
    };
    install()
        .or_else(|_| process::run(apt_get().args(["-qq", "update"])).and_then(|()| install()))
        .map_err(|why| format!("please install {wanted} ({why})"))
}

fn debian_program(program: &str, packages: &[&str]) -> Result<PathBuf, String> {
    if let Some(path) = process::which(program) {
        return Ok(path);
    }
    debian_install(packages)?;
    process::which(program).ok_or(format!("{program} is still missing"))
}

fn brokers() -> Result<PathBuf, String> {
    debian_program("mosquitto", &["mosquitto"])?;
    debian_program("nats-server", &["nats-server"])
}

fn strace() -> Result<PathBuf, String> {
    let path = debian_program("strace", &["strace"])?;
    // Some containers have it and may not use it.
    process::output(Command::new(&path).args(["-f", "--seccomp-bpf", "-o", "/dev/null", "true"]))?;
    Ok(path)
}

fn python(cache: &Path) -> Result<PathBuf, String> {
    debian_program("python3", &["python3", "python3-venv"])?;
    let has_venv = Command::new("python3")
        .args(["-c", "import ensurepip, venv"])
        .status()
        .is_ok_and(|s| s.success());
    if !has_venv {
        debian_install(&["python3-venv"])?;
    }
    let requirements = root().join("tests/requirements.txt");
    let version = process::output(Command::new("python3").arg("--version"))?;
    let folder =
        cache.join(format!("python-{}", fingerprint(&[&read(&requirements)?, version.as_bytes()])));
    once(&folder, || {
        process::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        process::run(
            Command::new(folder.join("bin/pip"))
                .args(["install", "--quiet", "--disable-pip-version-check", "-r"])
                .arg(&requirements),
        )
    })?;
    Ok(folder.join("bin"))
}

fn node(cache: &Path) -> Result<PathBuf, String> {
    debian_program("node", &["nodejs", "npm"])?;
    debian_program("npm", &["npm"])?;
    let source = root().join("tests/node");
    let pins = ["package.json", "package-lock.json", ".npmrc"];
    let lock = read(&source.join("package-lock.json"))?;
    let folder = cache.join(format!("node-{}", fingerprint(&[&lock])));
    once(&folder, || {
        for file in pins {
            std::fs::copy(source.join(file), folder.join(file))
                .map_err(|e| format!("cannot copy {file}: {e}"))?;
        }
        process::run(
            Command::new("npm")
                .args(["ci", "--no-audit", "--no-fund", "--silent"])
                .current_dir(&folder),
        )
    })?;
    Ok(folder.join("node_modules"))
}

fn coscli(cache: &Path, go: &Path) -> Result<PathBuf, String> {
    if let Some(path) = process::which("coscli") {
        return Ok(path);
    }
    let (repository, release) = COSCLI;
    let folder = cache.join(format!("coscli-{release}"));
    once(&folder, || {
        process::run(
            Command::new("git")
                .args(["clone", "--quiet", "--depth", "1", "--branch", release, repository])
                .arg(folder.join("source")),
        )?;
        process::run(
            Command::new(go)
                .args(["build", "-buildvcs=false", "-o"])
                .arg(folder.join("coscli"))
                .arg(".")
                .current_dir(folder.join("source")),
        )
    })?;
    Ok(folder.join("coscli"))
}
