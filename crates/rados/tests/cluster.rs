//! The RADOS engine keeps the promises of the engine seam on a real cluster, with
//! one gateway and with several at once.
//!
//! Needs the cluster that `cargo xtask test --only rados-engine` starts.

use std::sync::Arc;

use costrel_core::engine::Engine;
use costrel_rados::{Options, RadosEngine};
use costrel_testkit::{Workload, conformance, seed};

const META: &str = "costrel-meta";
const REPLICATED: &str = "costrel-data";
const ERASURE_CODED: &str = "costrel-data-ec";

/// Options for a namespace of its own.
fn options(data_pool: &str) -> Options {
    let conf = std::env::var("COSTREL_TEST_CEPH_CONF").expect("COSTREL_TEST_CEPH_CONF is set");
    Options {
        namespace: format!("test-{:016x}", rand::random::<u64>()),
        ..Options::new(conf, "client.admin", META, data_pool)
    }
}

async fn open(options: &Options) -> Arc<dyn Engine> {
    RadosEngine::open(options.clone()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Ceph cluster: cargo xtask test --only rados-engine"]
async fn rados_engine_conforms() {
    conformance::run(|| async { open(&options(REPLICATED)).await }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Ceph cluster: cargo xtask test --only rados-engine"]
async fn rados_engine_conforms_on_erasure_coded_data() {
    conformance::run(|| async { open(&options(ERASURE_CODED)).await }).await;
}

/// Each burst of work goes through another gateway, and another one compares.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Ceph cluster: cargo xtask test --only rados-engine"]
async fn gateways_see_each_others_work() {
    let options = options(REPLICATED);
    let gateways = [open(&options).await, open(&options).await];
    let mut workload = Workload::new(seed());
    for round in 0..6 {
        workload.run(&*gateways[round % 2], 150).await;
        workload.compare(&*gateways[(round + 1) % 2]).await;
    }
    for gateway in gateways {
        gateway.close().await.unwrap();
    }
}
