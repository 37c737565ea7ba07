//! Random rules over random versions at random times: what the rules say is
//! compared with a model that knows nothing of how they are judged, and so is what
//! a round leaves of a bucket.

use costrel_core::StoreOptions;
use costrel_core::lifecycle::{
    Chain, Expiration, Facts, FilterForm, Lifecycle, LifecycleJob, LifecycleOptions,
    NoncurrentExpiration, Rule, RuleBounds,
};
use costrel_core::record::Pair;
use costrel_core::version::Versioning;

use crate::common::random::Random;
use crate::common::{OWNER, World, body};

/// A day of the model: short, so that it can look for midnight step by step.
const DAY: u64 = 1000;

fn below(random: &mut Random, bound: u64) -> u64 {
    random.next() % bound
}

/// One version of a key as the model sees it, newest first.
#[derive(Clone, Debug, PartialEq)]
struct Version {
    written: u64,
    size: u64,
    marker: bool,
    null: bool,
    tags: Vec<Pair>,
}

/// Midnight at or after `days` whole days, found by walking there.
fn midnight(since: u64, days: u64, ahead: u64) -> u64 {
    let mut at = since + days * DAY;
    while !(at + ahead).is_multiple_of(DAY) {
        at += 1;
    }
    at
}

fn marker_at(written: u64, null: bool) -> Version {
    Version { written, size: 0, marker: true, null, tags: Vec::new() }
}

fn facts_of<'a>(key: &'a str, version: &'a Version) -> Facts<'a> {
    Facts {
        key: key.as_bytes(),
        size: version.size,
        tags: &version.tags,
        modified_ms: version.written,
    }
}

fn some_tags(random: &mut Random) -> Vec<Pair> {
    let names = ["a", "b"].into_iter().filter(|_| random.next().is_multiple_of(2));
    let names: Vec<&str> = names.collect();
    let value = |random: &mut Random| (random.next() % 2).to_string();
    names.into_iter().map(|name| Pair { name: name.into(), value: value(random) }).collect()
}

struct Model<'a> {
    rules: &'a [Rule],
    ahead: u64,
    now: u64,
}

impl Model<'_> {
    fn any(&self, key: &str, size: u64, tags: &[Pair], due: impl Fn(&Rule) -> Option<u64>) -> bool {
        self.rules.iter().any(|rule| {
            rule.enabled
                && rule.tags.iter().all(|tag| tags.contains(tag))
                && key.starts_with(rule.prefix.as_deref().unwrap_or(""))
                && rule.size_greater.is_none_or(|least| least < size)
                && rule.size_less.is_none_or(|most| most > size)
                && due(rule).is_some_and(|at| at <= self.now)
        })
    }

    fn expires(&self, key: &str, version: &Version) -> bool {
        self.any(key, version.size, &version.tags, |rule| match rule.expiration {
            Some(Expiration::Days(n)) => Some(midnight(version.written, n.into(), self.ahead)),
            Some(Expiration::Date(at)) => Some(at),
            _ => None,
        })
    }

    /// What is left of a key's versions after a round.
    fn after_round(&self, key: &str, chain: &[Version], versioning: Versioning) -> Vec<Version> {
        let mut chain = chain.to_vec();
        if chain.first().is_some_and(|current| !current.marker && self.expires(key, current)) {
            match versioning {
                Versioning::Never => chain.clear(),
                _ => {
                    let null = versioning == Versioning::Suspended;
                    chain.retain(|version| !(null && version.null));
                    chain.insert(0, marker_at(self.now, null));
                }
            }
        }
        let before = chain.clone();
        let mut at: usize = 0;
        chain.retain(|version| {
            at += 1;
            let Some(newer) = at.checked_sub(2).map(|newer| &before[newer]) else { return true };
            !self.any(key, version.size, &version.tags, |rule| {
                let wanted = rule.noncurrent.as_ref()?;
                // The current one is not among those that are kept.
                (at - 2 >= wanted.newer as usize)
                    .then(|| midnight(newer.written, wanted.days.into(), self.ahead))
            })
        });
        let lone = chain.len() == 1 && chain[0].marker;
        let goes = |rule: &Rule| match rule.expiration {
            Some(Expiration::LoneMarker(true)) => Some(0),
            Some(Expiration::Days(n)) => Some(midnight(chain[0].written, n.into(), self.ahead)),
            Some(Expiration::Date(at)) => Some(at),
            _ => None,
        };
        if lone && self.any(key, 0, &[], goes) {
            chain.clear();
        }
        chain
    }
}

fn random_rules(random: &mut Random, epoch: u64) -> Vec<Rule> {
    let count = 1 + below(random, 3);
    let some =
        |random: &mut Random, bound: u64| (below(random, 2) == 0).then(|| below(random, bound));
    (0..count)
        .map(|_| {
            let expiration = match below(random, 5) {
                0 => Some(Expiration::Date(epoch + below(random, 5) * DAY)),
                1 => Some(Expiration::LoneMarker(below(random, 2) == 0)),
                2 | 3 => Some(Expiration::Days(1 + below(random, 3) as u32)),
                _ => None,
            };
            let noncurrent = (below(random, 2) == 0).then(|| NoncurrentExpiration {
                days: 1 + below(random, 3) as u32,
                newer: below(random, 3) as u32,
            });
            Rule {
                enabled: below(random, 5) > 0,
                form: FilterForm::And.into(),
                prefix: some(random, 4).map(|n| ["", "a", "ab", "b"][n as usize].to_owned()),
                size_greater: some(random, 3),
                size_less: some(random, 3).map(|size| size + 4),
                expiration,
                noncurrent,
                ..Default::default()
            }
        })
        .collect()
}

#[test]
fn the_rules_say_what_the_model_says() {
    for seed in 0..20_000 {
        let random = &mut Random::new(seed);
        let ahead_s = below(random, 24) as u32 * 3600;
        // The model's day is shorter, and the place as much nearer.
        let ahead = u64::from(ahead_s) * 1000 * DAY / 86_400_000;
        let mut rules = random_rules(random, 10 * DAY);
        for rule in &mut rules {
            if below(random, 3) == 0 {
                rule.tags = some_tags(random);
            }
        }
        let lifecycle =
            Lifecycle { utc_offset_s: ahead_s, rules: rules.clone(), ..Default::default() };
        let calendar = lifecycle.calendar(DAY);
        let model = Model { rules: &rules, ahead, now: 9 * DAY + below(random, 6 * DAY) };
        let mut written = model.now;
        let chain: Vec<Version> = (0..below(random, 6))
            .map(|_| {
                written -= below(random, 2 * DAY).min(written);
                let marker = below(random, 4) == 0;
                let size = if marker { 0 } else { below(random, 6) };
                let tags = if marker { Vec::new() } else { some_tags(random) };
                Version { written, size, marker, null: false, tags }
            })
            .collect();
        let key = ["a1", "ab1", "b1", "c"][below(random, 4) as usize];
        // A round over this one key, by the functions that the walks use.
        let due = |fate: Option<costrel_core::lifecycle::Fate<'_>>| {
            fate.is_some_and(|fate| fate.at_ms <= model.now)
        };
        let mut left = chain.clone();
        if left.first().is_some_and(|version| {
            !version.marker && due(lifecycle.expiration(&calendar, &facts_of(key, version)))
        }) {
            left.insert(0, marker_at(model.now, false));
        }
        let mut places = Chain::default();
        left.retain(|version| match places.next(key.as_bytes(), version.written) {
            None => true,
            Some(place) => {
                !due(lifecycle.noncurrent_removal(&calendar, &facts_of(key, version), place))
            }
        });
        if let [marker @ Version { marker: true, .. }] = left.as_slice()
            && due(lifecycle.marker_removal(&calendar, key.as_bytes(), marker.written))
        {
            left.clear();
        }
        let want = model.after_round(key, &chain, Versioning::Enabled);
        assert_eq!(left, want, "seed {seed}: {rules:?} {chain:?} at {}", model.now);
    }
}

async fn chain_of(world: &World, bucket: &costrel_core::bucket::Bucket, key: &str) -> Vec<Version> {
    let versions = world.versions(bucket, 100).await;
    let of_key = versions.into_iter().filter(|(found, _)| found == key);
    of_key
        .map(|(_, entry)| Version {
            written: entry.object.modified_ms,
            size: entry.object.size,
            marker: entry.delete_marker,
            null: entry.version.is_some_and(|v| v == costrel_core::version::VersionRef::Null),
            // The rules of these rounds do not ask for any.
            tags: Vec::new(),
        })
        .collect()
}

#[tokio::test]
async fn rounds_leave_what_the_model_leaves() {
    for seed in 0..300 {
        let random = &mut Random::new(seed);
        let options = StoreOptions { day_ms: DAY, ..StoreOptions::default() };
        let world = World::memory_with(options);
        let bucket = world.bucket("bucket").await;
        let mut versioning = Versioning::Never;
        for _ in 0..6 {
            for _ in 0..below(random, 8) {
                let key = ["a1", "ab1", "b1"][below(random, 3) as usize];
                match below(random, 4) {
                    0 => drop(world.delete(&bucket, key).await.unwrap()),
                    _ => drop(
                        world
                            .put(&bucket, key, body(seed, below(random, 6) as usize))
                            .await
                            .unwrap(),
                    ),
                }
                world.advance(below(random, DAY / 2));
            }
            if below(random, 2) == 0 {
                let next =
                    if below(random, 2) == 0 { Versioning::Enabled } else { Versioning::Suspended };
                world.store.set_versioning(&bucket, next).await.unwrap();
                versioning = next;
            }
            let now = world.store.now_ms();
            let rules = random_rules(random, now - now % DAY);
            // Dates of the model's days are at no real midnight.
            let rules: Vec<Rule> = rules
                .into_iter()
                .map(|rule| match rule.expiration {
                    Some(Expiration::Date(_)) => {
                        Rule { expiration: Some(Expiration::Date(0)), ..rule }
                    }
                    _ => rule,
                })
                .filter(|rule| rule.expiration.is_some() || rule.noncurrent.is_some())
                .collect();
            if rules.is_empty() {
                continue;
            }
            let lifecycle = Lifecycle { rules: rules.clone(), ..Default::default() };
            let bounds = RuleBounds { days_max: 99, infrequent_days_min: 0 };
            world.store.set_lifecycle(&bucket, lifecycle, bounds).await.unwrap();
            // Far from midnight, so that the time the round takes does not matter.
            let now = world.store.now_ms();
            world.advance(DAY - now % DAY + DAY / 4);
            let model = Model { rules: &rules, ahead: 0, now: world.store.now_ms() };
            let mut wanted = Vec::new();
            for key in ["a1", "ab1", "b1"] {
                let chain = chain_of(&world, &bucket, key).await;
                wanted.push((key, model.after_round(key, &chain, versioning)));
            }
            let round = LifecycleOptions {
                owner_uin: OWNER,
                rows_per_second: 1 << 30,
                ends_per_second: 1 << 30,
                moved_bytes_per_second: 1 << 30,
            };
            assert!(LifecycleJob::new(world.store.clone(), round).round().await.unwrap());
            for (key, mut want) in wanted {
                let mut left = chain_of(&world, &bucket, key).await;
                // When a marker was put is the round's own affair.
                for version in left.iter_mut().chain(&mut want) {
                    version.written = version.written.min(model.now);
                }
                assert_eq!(left, want, "seed {seed} {versioning:?} {key}: {rules:?}");
            }
        }
        world.settle().await;
    }
}
