//! The log on a disk that crashes and fails.
//!
//! What was passed on is there after every crash. Work, crash point and what
//! survives the crash follow from a seed that is printed.

use std::io;
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use costrel_core::engine::{Commit, EngineError, Health, Partition, RowRef, Table, Write};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Append, Appender, BodyLog, Extent, Next, Place};
use crate::disk::sim::SimDisk;
use crate::options::Durability;
use crate::space::SpaceGuard;
use crate::status::Status;

const SEEDS: u64 = 40;

/// What the appender said, with the number of the commit.
enum Said {
    Placed(usize, Vec<(usize, Place)>),
    Failed(EngineError),
    Unused(Vec<Extent>),
    Sealed(u32),
}

struct Tell(mpsc::Sender<Said>);

impl Next<usize> for Tell {
    fn commit(&self, _: Commit, placed: Vec<(usize, Place)>, reply: usize) {
        let _ = self.0.send(Said::Placed(reply, placed));
    }

    fn failed(&self, error: EngineError, _: usize) {
        let _ = self.0.send(Said::Failed(error));
    }

    fn unused(&self, extents: Vec<Extent>) {
        let _ = self.0.send(Said::Unused(extents));
    }

    fn sealed(&self, segment: u32) {
        let _ = self.0.send(Said::Sealed(segment));
    }
}

struct Lab {
    log: Arc<BodyLog>,
    status: Arc<Status>,
    appender: Appender<usize>,
    said: mpsc::Receiver<Said>,
}

fn open(disk: &SimDisk, first: u32) -> Result<Lab, EngineError> {
    let disk = Arc::new(disk.clone());
    let status = Arc::new(Status::default());
    let space = Arc::new(SpaceGuard::new(disk.clone(), status.clone(), 0));
    let log = BodyLog::open(disk, space, status.clone(), Durability::Sync)?;
    let (tell, said) = mpsc::channel();
    let appender = Appender::start(log.clone(), first, Tell(tell))?;
    Ok(Lab { log, status, appender, said })
}

fn body(rng: &mut StdRng) -> Bytes {
    let mut body = vec![0; 4096 * rng.random_range(1..20) + rng.random_range(0..100)];
    rng.fill(&mut body[..]);
    body.into()
}

impl Lab {
    /// Appends bodies, each in a commit of its own; what was said of them.
    fn append(&self, bodies: &[Bytes]) -> Vec<Said> {
        for (number, body) in bodies.iter().enumerate() {
            let writes = vec![
                Write::Delete(RowRef::only(Table::Object)),
                Write::Put(RowRef::only(Table::Body), body.clone()),
            ];
            let (partition, group) = (Partition::System, Bytes::new());
            let commit = Commit::new(partition, group, vec![], writes);
            self.appender.submit(Append { commit, reply: number });
        }
        let mut said = Vec::new();
        let mut left = bodies.len();
        while left > 0 {
            let one = self.said.recv().unwrap();
            left -= usize::from(matches!(one, Said::Placed(..) | Said::Failed(_)));
            said.push(one);
        }
        said
    }
}

#[test]
fn what_is_passed_on_survives_crashes() {
    let first_seed = costrel_testkit::seed();
    for seed in (0..SEEDS).map(|n| first_seed.wrapping_add(n)) {
        let mut rng = StdRng::seed_from_u64(seed);
        let disk = SimDisk::new(seed);
        let lab = open(&disk, 0).unwrap();
        disk.crash_at_nth(rng.random_range(1..60));
        let mut stable: Vec<(Bytes, Place)> = Vec::new();
        loop {
            let bodies: Vec<Bytes> = (0..rng.random_range(1..6)).map(|_| body(&mut rng)).collect();
            let said = lab.append(&bodies);
            let ended = said.iter().any(|said| matches!(said, Said::Failed(_)));
            for said in said {
                if let Said::Placed(number, placed) = said {
                    let [(1, place)] = &placed[..] else { panic!("{placed:?}") };
                    stable.push((bodies[number].clone(), place.clone()));
                }
            }
            if ended {
                break;
            }
        }
        let after = disk.crash(seed);
        let lab = open(&after, 1).unwrap();
        for (body, place) in &stable {
            assert_eq!(lab.log.read(place).ok().as_ref(), Some(body), "seed {seed}: {place:?}");
        }
        // Settling keeps what it is told and frees the rest.
        let (kept, lost): (Vec<_>, Vec<_>) = stable.iter().partition(|_| rng.random_bool(0.5));
        let live = kept.iter().map(|(_, place)| place.extent());
        assert!(lab.log.settle(0, live.clone()).unwrap() <= 1);
        for (body, place) in &kept {
            assert_eq!(lab.log.read(place).ok().as_ref(), Some(body), "seed {seed}: {place:?}");
        }
        assert!(lost.iter().all(|(_, place)| lab.log.read(place).is_err()), "seed {seed}");
        assert_eq!(lab.log.audit(live.collect(), Vec::new()).unwrap(), Vec::<String>::new());
    }
}

#[test]
fn a_full_disk_loses_nothing_and_passes() {
    for n in 1..8 {
        let disk = SimDisk::new(n);
        let lab = open(&disk, 0).unwrap();
        let mut rng = StdRng::seed_from_u64(n);
        let bodies = [body(&mut rng), body(&mut rng)];
        let [Said::Placed(0, placed)] = &lab.append(&bodies[..1])[..] else { panic!() };
        disk.fail_nth(1, io::ErrorKind::StorageFull);
        let said = lab.append(&bodies[1..]);
        let [Said::Unused(unused), Said::Failed(EngineError::Full(_))] = &said[..] else {
            panic!("{} things were said", said.len());
        };
        assert!(!unused.is_empty());
        let [Said::Placed(0, again)] = &lab.append(&bodies[1..])[..] else { panic!() };
        assert!(unused.iter().all(|unused| unused.end() <= again[0].1.page));
        assert_eq!(lab.log.read(&placed[0].1).unwrap(), bodies[0]);
        assert_eq!(lab.log.read(&again[0].1).unwrap(), bodies[1]);
        assert!(matches!(lab.status.health(), Health::Ready));
    }
}

#[test]
fn a_failed_sync_ends_writing() {
    let disk = SimDisk::new(1);
    let lab = open(&disk, 0).unwrap();
    let body = body(&mut StdRng::seed_from_u64(1));
    lab.append(std::slice::from_ref(&body));
    disk.fail_nth(2, io::ErrorKind::Other);
    for _ in 0..2 {
        let said = lab.append(std::slice::from_ref(&body));
        assert!(matches!(said.last(), Some(Said::Failed(EngineError::Poisoned(_)))));
    }
    assert!(matches!(lab.status.health(), Health::ReadOnly(_)));
}

#[test]
fn a_full_segment_is_left() {
    let disk = SimDisk::new(1);
    let lab = open(&disk, 7).unwrap();
    let body = Bytes::from(vec![7; 1 << 20]);
    let (mut sealed, mut last) = (Vec::new(), None);
    for _ in 0..70 {
        for said in lab.append(std::slice::from_ref(&body)) {
            match said {
                Said::Placed(_, placed) => last = Some(placed[0].1.clone()),
                Said::Sealed(segment) => sealed.push(segment),
                Said::Failed(error) => panic!("{error}"),
                Said::Unused(unused) => panic!("{unused:?}"),
            }
        }
    }
    let last = last.unwrap();
    assert_eq!((&sealed[..], last.segment, last.page), (&[7][..], 8, 5 * 256));
    assert_eq!(lab.log.read(&last).unwrap(), body);
}
