//! Seeds of random tests.

/// Name of the environment variable that replays a run.
const VARIABLE: &str = "COSTREL_TEST_SEED";

/// A seed for a random test: the one in `COSTREL_TEST_SEED`, else a fresh one.
/// Printed, so that a failure can be replayed.
pub fn seed() -> u64 {
    let seed = match std::env::var(VARIABLE) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{VARIABLE} is not a number: {text}")),
        Err(_) => rand::random(),
    };
    println!("replay with {VARIABLE}={seed}");
    seed
}
