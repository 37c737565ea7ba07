//! Cuts the power of the whole engine, rows and blobs together.
//!
//! A process runs the store on a real file system while strace records its file
//! operations. From the recording, for many moments, a directory is laid out as a
//! power cut at that moment may leave it: what was not synced is lost, kept, torn
//! or kept in another order. The store is opened on each of them and must show
//! every write that was answered before the cut, whole, and nothing else.
//!
//! The recording itself is checked: with everything kept, its end must be the
//! directory that the process really left, byte for byte.

mod check;
mod disk;
mod promises;
mod replay;
mod store;
mod trace;
mod workload;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

use clap::{Parser, Subcommand};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use disk::{Disk, Luck, Survivors};
use promises::Promises;
use replay::{Replay, Step};
use workload::End;

const MIB: u64 = 1 << 20;

/// The processes of a recording, in order: how much each writes and how it ends.
/// Journals are rotated at 64 MB.
const PROCESSES: [(u64, End); 3] =
    [(75 * MIB, End::Killed), (80 * MIB, End::Closed), (30 * MIB, End::Killed)];

#[derive(Parser)]
struct Options {
    /// How many cuts.
    #[arg(long, default_value_t = 48)]
    cuts: usize,
    /// Cuts a kept recording instead of making one: the same seed and number of
    /// cuts repeat a run exactly.
    #[arg(long)]
    recording: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Work>,
}

#[derive(Subcommand)]
enum Work {
    /// What is recorded.
    #[command(hide = true)]
    Work { dir: PathBuf, seed: u64, process: usize },
}

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match &options.command {
        Some(Work::Work { dir, seed, process }) => work(dir, *seed, *process).map(|()| 0),
        None => cut(&options),
    };
    match outcome {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("power-cut: {why}");
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build();
    runtime.map_err(|e| format!("starting the runtime: {e}"))
}

/// Files of a recording.
struct Recording(PathBuf);

impl Recording {
    fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    fn notes(&self) -> PathBuf {
        self.0.join("notes")
    }

    fn trace(&self, process: usize) -> PathBuf {
        self.0.join(format!("trace-{process}"))
    }

    /// A copy of the data directory as a process left it.
    fn left(&self, process: usize) -> PathBuf {
        self.0.join(format!("left-{process}"))
    }
}

fn work(dir: &Path, seed: u64, process: usize) -> Result<(), String> {
    let recording = Recording(dir.to_owned());
    let (bytes, end) = *PROCESSES.get(process).ok_or("no such process")?;
    let seed = seed.wrapping_add(process as u64);
    runtime()?.block_on(workload::run(&recording.data(), &recording.notes(), seed, bytes, end))
}

fn record(dir: &Path, seed: u64) -> Result<(), String> {
    let recording = Recording(dir.to_owned());
    let program = std::env::current_exe().map_err(|e| format!("finding the program: {e}"))?;
    for process in 0..PROCESSES.len() {
        let status = Command::new("strace")
            .args(["-f", "--seccomp-bpf", "-qqq", "--signal=none", "-s", "100000000"])
            .args(["-e", &format!("trace={}", replay::TRACED), "-o"])
            .arg(recording.trace(process))
            .arg(&program)
            .arg("work")
            .args([dir.as_os_str(), seed.to_string().as_ref(), process.to_string().as_ref()])
            .status()
            .map_err(|e| format!("running strace: {e}"))?;
        if !status.success() {
            return Err(format!("process {process} of the recording: {status}"));
        }
        let mut copy = Command::new("cp");
        copy.args(["-a", "--sparse=always"]).args([recording.data(), recording.left(process)]);
        succeed(&mut copy)?;
    }
    Ok(())
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|e| format!("running {command:?}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}

/// Makes a recording or takes the given one, cuts it; how many cuts failed.
fn cut(options: &Options) -> Result<usize, String> {
    let seed = costrel_testkit::seed();
    let begun = Instant::now();
    let failed = |what: &'static str| move |e: std::io::Error| format!("{what}: {e}");
    let mut made = None;
    let dir = match &options.recording {
        Some(dir) => dir.clone(),
        None => {
            let dir = tempfile::tempdir().map_err(failed("making a folder"))?;
            let dir = made.insert(dir).path().to_owned();
            record(&dir, seed)?;
            println!("recorded in {:.1} s", begun.elapsed().as_secs_f32());
            dir
        }
    };
    let recording = Recording(dir);
    let cuts = choose(&recording, options.cuts, seed)?;
    let failures = try_cuts(&recording, cuts, seed)?;
    println!("{} cuts in {:.1} s", options.cuts, begun.elapsed().as_secs_f32());
    for failure in &failures {
        println!("{failure}");
    }
    if let (Some(made), false) = (made, failures.is_empty()) {
        let kept = made.keep();
        println!("the recording is kept: --recording {}", kept.display());
    }
    let result = if failures.is_empty() { "ok" } else { "FAILED" };
    let passed = options.cuts - failures.len();
    println!("test result: {result}. {passed} passed; {} failed; 0 ignored", failures.len());
    Ok(failures.len())
}

/// Calls `each` with every line of the recording, by number, and `ended` after
/// each process.
fn replayed(
    recording: &Recording,
    kept: &Path,
    mut each: impl FnMut(usize, Option<Step>, &mut Replay, &Promises) -> Result<(), String>,
    mut ended: impl FnMut(usize, &mut Replay) -> Result<(), String>,
) -> Result<(), String> {
    let mut replay = Replay::new(Disk::new(kept.to_owned()), &recording.data(), &recording.notes());
    let mut promises = Promises::default();
    let mut number = 0;
    for process in 0..PROCESSES.len() {
        let path = recording.trace(process);
        let file = File::open(&path).map_err(|e| format!("opening {}: {e}", path.display()))?;
        let mut lines = trace::Reader::default();
        for line in BufReader::with_capacity(1 << 20, file).split(b'\n') {
            let line = line.map_err(|e| format!("reading {}: {e}", path.display()))?;
            let Some(line) = lines.read(&line)? else { continue };
            let (step, note) = replay.take(line)?;
            if let Some(note) = note {
                promises.note(note);
            }
            each(number, step, &mut replay, &promises)?;
            number += 1;
        }
        replay.end_process(&recording.left(process))?;
        ended(process, &mut replay)?;
    }
    Ok(())
}

/// Moments to cut at, each kind of step as often as the others, and what is to
/// survive. Also compares the recording with the directory that was left.
fn choose(
    recording: &Recording,
    count: usize,
    seed: u64,
) -> Result<BTreeMap<usize, Vec<(usize, Survivors)>>, String> {
    let mut steps: BTreeMap<Step, Vec<usize>> = BTreeMap::new();
    let mut lines = 0;
    let kept = tempfile::tempdir().map_err(|e| format!("making a folder: {e}"))?;
    let mut rng = StdRng::seed_from_u64(seed);
    let found = |number, step, _: &mut Replay, _: &Promises| {
        lines = number + 1;
        if let Some(step) = step {
            steps.entry(step).or_default().push(number);
        }
        Ok(())
    };
    replayed(recording, kept.path(), found, |process, replay| {
        let image = kept.path().join(format!("image-{process}"));
        let mut luck = Luck::new(Survivors::Everything, rng.clone(), &replay.disk);
        replay.disk.image(&mut luck, &image).map_err(|e| format!("laying out: {e}"))?;
        succeed(Command::new("diff").arg("-rq").args([&image, &recording.left(process)]))
    })?;
    let counts: Vec<_> = steps.iter().map(|(step, at)| format!("{step:?}: {}", at.len())).collect();
    println!("{lines} calls; {}", counts.join(", "));

    let kinds: Vec<Step> = steps.keys().copied().collect();
    let mut cuts: BTreeMap<usize, Vec<(usize, Survivors)>> = BTreeMap::new();
    for number in 0..count {
        let kind = kinds.get(number % kinds.len().max(1)).ok_or("nothing was recorded")?;
        let at = *steps[kind].choose(&mut rng).ok_or("a kind without steps")?;
        let survivors = Survivors::ALL[number / kinds.len() % Survivors::ALL.len()];
        cuts.entry(at).or_default().push((number, survivors));
    }
    Ok(cuts)
}

/// One image to be looked at.
struct Job {
    what: String,
    dir: tempfile::TempDir,
    promises: Promises,
}

/// Lays out the images and checks them on all cores; what failed, in words.
fn try_cuts(
    recording: &Recording,
    cuts: BTreeMap<usize, Vec<(usize, Survivors)>>,
    seed: u64,
) -> Result<Vec<String>, String> {
    let scratch = scratch().map_err(|e| format!("making a folder: {e}"))?;
    let kept = scratch.path().join("kept");
    std::fs::create_dir(&kept).map_err(|e| format!("making a folder: {e}"))?;
    let (jobs, waiting) = mpsc::sync_channel::<Job>(1);
    let waiting = Arc::new(Mutex::new(waiting));
    let failures = Arc::new(Mutex::new(Vec::new()));
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            let (waiting, failures) = (waiting.clone(), failures.clone());
            scope.spawn(move || {
                loop {
                    let job = waiting.lock().expect("no checker panics with it").recv();
                    let Ok(job) = job else { return };
                    let looked = look(&job);
                    if let Err(why) = looked {
                        let why = format!("{}: {why}", job.what);
                        failures.lock().expect("no checker panics with it").push(why);
                    }
                }
            });
        }
        let lay_out = |number, _, replay: &mut Replay, promises: &Promises| {
            for (cut, survivors) in cuts.get(&number).into_iter().flatten() {
                let rng = StdRng::seed_from_u64(seed.wrapping_add(*cut as u64));
                let dir = tempfile::tempdir_in(scratch.path());
                let dir = dir.map_err(|e| format!("making a folder: {e}"))?;
                let mut luck = Luck::new(*survivors, rng, &replay.disk);
                let image = replay.disk.image(&mut luck, dir.path());
                image.map_err(|e| format!("laying out cut {cut}: {e}"))?;
                let answers = promises.answers;
                let what = format!(
                    "cut {cut} after call {number} and {answers} answers, {survivors:?} survives"
                );
                let job = Job { what, dir, promises: promises.clone() };
                jobs.send(job).map_err(|_| "the checkers have ended")?;
            }
            Ok(())
        };
        replayed(recording, &kept, lay_out, |_, _| Ok(()))?;
        drop(jobs);
        Ok::<(), String>(())
    })?;
    let failures = std::mem::take(&mut *failures.lock().map_err(|e| e.to_string())?);
    Ok(failures)
}

fn look(job: &Job) -> Result<(), String> {
    let runtime = runtime()?;
    let check = check::check(job.dir.path(), &job.promises);
    let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(check)));
    looked.unwrap_or_else(|_| Err("a panic".into()))
}

/// In memory where there is some: images are large and are synced for nothing.
fn scratch() -> std::io::Result<tempfile::TempDir> {
    const NEEDED_BYTES: u64 = 2 << 30;
    let memory = Path::new("/dev/shm");
    match rustix::fs::statvfs(memory) {
        Ok(stat) if stat.f_bavail.saturating_mul(stat.f_frsize) >= NEEDED_BYTES => {
            tempfile::tempdir_in(memory)
        }
        _ => tempfile::tempdir(),
    }
}
