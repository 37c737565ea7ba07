//! `costrel serve`: opens the store, serves it, and closes it in order.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use costrel_core::account::{Accounts, FirstStart, OpenError};
use costrel_core::collector::Collector;
use costrel_core::engine::EngineError;
use costrel_core::events::{EventJob, EventOptions};
use costrel_core::inventory::InventoryJob;
use costrel_core::lifecycle::{LifecycleJob, LifecycleOptions};
use costrel_core::lock;
use costrel_core::logging::LogJob;
use costrel_core::restore::RestoreDelays;
use costrel_core::scrub::{self, ScrubOptions};
use costrel_core::tier::Tiers;
use costrel_core::tiering::AccessJob;
use costrel_core::transfer::{self, Unfinished};
use costrel_core::usage::{CountingStats, UsageJob};
use costrel_core::{Store, StoreOptions, bill, tend};
use costrel_events::{BadTarget, Post};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::access_log::AccessLog;
use crate::audit::{self, AuditLog};
use crate::banner;
use crate::config::{Config, ConfigError, LogLevel, TargetError};
use crate::console::{Console, Running};
use crate::engine::{self, EngineOpenError};
use crate::gateway;
use crate::identity::{self, IdentityError};
use crate::listen::{Acceptor, Certificate, Limits, TlsError};
use crate::logs::LogSink;
use crate::metrics::Metrics;
use crate::operator::Operator;
use crate::prices::{self, PriceBookError};
use crate::requests::Requests;
use crate::signals::{Signals, Wish};
use crate::world::{SystemClock, SystemEntropy};

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Engine(#[from] EngineOpenError),
    #[error(transparent)]
    Unfinished(#[from] Unfinished),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Prices(#[from] PriceBookError),
    #[error(transparent)]
    Account(#[from] OpenError),
    #[error("opening the audit log: {0}")]
    Audit(#[source] io::Error),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    BadTarget(#[from] BadTarget),
    #[error("recovering the store: {0}")]
    Recover(#[source] costrel_core::Error),
    #[error("closing the store: {0}")]
    Close(#[source] EngineError),
    #[error("{0}")]
    System(#[from] io::Error),
}

/// Share of the memory budget that bodies on their way in may take, in sevenths;
/// the rest is the engine's.
const INGEST_SEVENTHS: u64 = 3;

/// Rest between two passes of the scrub.
const SCRUB_PAUSE: Duration = Duration::from_secs(3600);

/// How often the certificate's files are looked at.
const CERTIFICATE_CHECK: Duration = Duration::from_secs(5);

/// How often the last requests are tried to be kept.
const KEEP_TRIES: u32 = 5;

/// Least time that processes have to write what they counted.
const USAGE_SETTLE_MIN: Duration = Duration::from_secs(5);

/// Connections of the console endpoint: a few probes and a browser.
const CONSOLE_LIMITS: Limits = Limits {
    connections: 64,
    header_size: 16 << 10,
    header_count: 100,
    header_timeout: Duration::from_secs(60),
    stall_timeout: Duration::from_secs(60),
};

/// Serves until a signal ends it.
pub async fn run(config: Config, log: LogSink) -> Result<(), ServeError> {
    let mut signals = Signals::new()?;
    // Sockets and certificate first: their errors should not cost a recovery.
    let sockets = Sockets::open(&config).await?;
    let metrics: Arc<Metrics> = Arc::default();
    let console = Console::new(metrics.clone(), log.clone());
    let console_acceptor = Acceptor::new(console.clone(), CONSOLE_LIMITS, Arc::default());
    tokio::spawn(console_acceptor.clone().accept(sockets.console, None));

    let opened = tokio::select! {
        opened = open(&config) => opened?,
        () = signals.stop() => return Ok(()),
    };
    let (store, collector, accounts, first) = opened;
    let accounts = Arc::new(accounts);
    // What happened last is written when everything else has ended.
    let (audit, _audit_writer) = match audit::start(&config).map_err(ServeError::Audit)? {
        Some((sink, writer)) => (Some(sink), Some(writer)),
        None => (None, None),
    };
    let collector_stats = collector.stats();
    let operator = Operator::new(identity::known_master_key(&config, &identity::process_env)?);
    let lifecycle = lifecycle_job(&config, &store, &accounts);
    let lifecycle_stats = lifecycle.stats();
    let accesses = AccessJob::new(store.clone(), config.lifecycle_move_rate.0);
    let access_stats = accesses.stats();
    let counting: Arc<CountingStats> = Arc::default();
    let window = Duration::from_secs(u64::from(config.log_delivery_seconds.0));
    let logs = LogJob::new(store.clone(), window);
    let log_stats = logs.stats();
    let (uin, rate) = (accounts.account().uin.get(), u64::from(config.lifecycle_scan_rate.0));
    let inventories = InventoryJob::new(store.clone(), uin, rate);
    let inventory_stats = inventories.stats();
    let usage = UsageJob::new(store.clone(), usage_period(&config));
    let usage_stats = usage.stats();
    let events = EventJob::new(
        store.clone(),
        EventOptions {
            age_max: config.events_max_age.0,
            at_once: config.events_at_once.0 as usize,
        },
    );
    let jobs = (lifecycle, accesses, counting.clone(), logs, inventories, usage, events);
    let upkeep = Upkeep::start(&config, &store, collector, jobs, &accounts);

    let access_log =
        (config.log_level >= LogLevel::Info).then(|| AccessLog::new(log, config.log_format));
    let audit_log = audit.clone().map(AuditLog::new);
    let observer = Arc::new(Requests::new(metrics.clone(), access_log, audit_log));
    let account = accounts.account().clone();
    let gateway = gateway::build(&config, store.clone(), accounts.clone(), observer);
    let acceptor = Acceptor::new(gateway.clone(), client_limits(&config), metrics);
    console.set_running(Running {
        store: store.clone(),
        gateway,
        audit,
        collector: collector_stats,
        lifecycle: lifecycle_stats,
        accesses: access_stats,
        counting,
        logs: log_stats,
        inventories: inventory_stats,
        usage: usage_stats,
        uin: account.uin.get(),
        operator: Arc::new(operator),
        scan_rate: u64::from(config.lifecycle_scan_rate.0),
    });
    let endpoints: Vec<String> = sockets.clients.iter().map(Socket::url).collect();
    for Socket { listener, tls, .. } in sockets.clients {
        tokio::spawn(acceptor.clone().accept(listener, tls));
    }
    let text = banner::text(
        &banner::Start {
            endpoint: &endpoints[0],
            tls_endpoint: endpoints.get(1).map(String::as_str),
            console: &sockets.console_url,
            data: &engine::place(&config),
            region: &config.region.0,
            account: &account,
        },
        first.as_ref(),
    );
    // The one place that may show a secret, and only one just made up. A closed
    // standard output is no reason not to serve.
    let _ = io::stdout().write_all(text.as_bytes());
    tracing::info!(endpoints = ?endpoints, console = %sockets.console_url, "serving");

    watch(&mut signals, sockets.certificate.as_deref()).await;

    console.set_draining();
    tracing::info!(limit = ?config.drain_timeout.0, "stopping: running requests may finish");
    tokio::select! {
        finished = acceptor.drain(config.drain_timeout.0) => {
            if !finished {
                tracing::warn!("some requests did not finish in time and are given up");
            }
        }
        () = signals.stop() => tracing::warn!("told again to stop: running requests are given up"),
    }
    upkeep.stop().await;
    if let Err(error) = accounts.write_uses(true).await {
        tracing::warn!(%error, "when keys were last used is not written down");
    }
    keep_requests(&store).await;
    store.engine().close().await.map_err(ServeError::Close)?;
    tracing::info!("stopped");
    Ok(())
}

/// Puts the last requests of logged buckets, and the last counts, where the next start
/// finds them.
async fn keep_requests(store: &Arc<Store>) {
    for left in (0..KEEP_TRIES).rev() {
        let (lines, counts) = tokio::join!(store.keep_requests(), store.keep_counts());
        match lines.and(counts) {
            Ok(()) => return,
            Err(error) if left == 0 => {
                tracing::error!(%error, "the last requests are in no log or no figures");
            }
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

/// Returns when the process is to stop; reloads the certificate meanwhile.
async fn watch(signals: &mut Signals, certificate: Option<&Certificate>) {
    loop {
        let wish = tokio::select! {
            wish = signals.next() => Some(wish),
            () = tokio::time::sleep(CERTIFICATE_CHECK), if certificate.is_some() => None,
        };
        if wish == Some(Wish::Stop) {
            return;
        }
        let Some(certificate) = certificate else { continue };
        match certificate.reload(wish == Some(Wish::Reload)) {
            Ok(true) => tracing::info!("certificate loaded"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "certificate not loaded, the former one stays"),
        }
    }
}

type Opened = (Arc<Store>, Collector, Accounts, Option<FirstStart>);

async fn open(config: &Config) -> Result<Opened, ServeError> {
    let prices = prices::load(config.price_book.as_deref())?;
    let ingest = config.memory.0 / 7 * INGEST_SEVENTHS;
    let engine = engine::open(config, config.memory.0 - ingest).await?;
    let env = &identity::process_env;
    let fixed = identity::fixed(config, env)?;
    transfer::admit(&*engine).await?;
    let master_key = identity::master_key(config, env, &SystemEntropy)?;
    let clock = Arc::new(SystemClock);
    let (accounts, first) =
        Accounts::open(engine.clone(), master_key, Arc::new(SystemEntropy), clock.clone(), fixed)
            .await?;
    let mut tiers = Tiers::default();
    for (class, tier) in &config.tiers.0 {
        tiers.set(*class, tier.clone());
    }
    let options = StoreOptions {
        tiers,
        restore_delays: RestoreDelays {
            expedited_ms: config.restore_expedited.0.as_millis() as u64,
            standard_ms: config.restore_standard.0.as_millis() as u64,
            bulk_ms: config.restore_bulk.0.as_millis() as u64,
        },
        region: config.region.0.clone(),
        ingest_bytes_max: usize::try_from(ingest).unwrap_or(usize::MAX),
        day_ms: u64::from(config.day_seconds.0) * 1000,
        usage_settle_ms: usage_period(config).max(USAGE_SETTLE_MIN).as_millis() as u64,
        courier: Post::new(config.events.targets(env)?, env!("CARGO_PKG_VERSION"))?,
        prices: Arc::new(prices),
    };
    let (store, collector) = Store::new(engine, clock, Arc::new(SystemEntropy), options);
    collector.recover().await.map_err(ServeError::Recover)?;
    Ok((store, collector, accounts, first))
}

fn usage_period(config: &Config) -> Duration {
    Duration::from_secs(u64::from(config.usage_seconds.0))
}

fn client_limits(config: &Config) -> Limits {
    Limits {
        connections: config.max_connections.0 as usize,
        header_size: config.header_size.as_usize(),
        header_count: config.header_count.0 as usize,
        header_timeout: config.header_timeout.0,
        stall_timeout: config.idle_timeout.0,
    }
}

fn lifecycle_job(config: &Config, store: &Arc<Store>, accounts: &Accounts) -> LifecycleJob {
    let options = LifecycleOptions {
        owner_uin: accounts.account().uin.get(),
        rows_per_second: u64::from(config.lifecycle_scan_rate.0),
        ends_per_second: u64::from(config.lifecycle_end_rate.0),
        moved_bytes_per_second: config.lifecycle_move_rate.0,
    };
    LifecycleJob::new(store.clone(), options)
}

/// Work in the background. Stopping it at any point is safe.
struct Upkeep(Vec<JoinHandle<()>>);

impl Upkeep {
    fn start(
        config: &Config,
        store: &Arc<Store>,
        collector: Collector,
        (lifecycle, accesses, counting, logs, inventories, usage, events): (
            LifecycleJob,
            AccessJob,
            Arc<CountingStats>,
            LogJob,
            InventoryJob,
            UsageJob,
            EventJob,
        ),
        accounts: &Arc<Accounts>,
    ) -> Self {
        let options = ScrubOptions { bytes_per_second: config.scrub_rate.0, pause: SCRUB_PAUSE };
        let uin = accounts.account().uin.get();
        Upkeep(vec![
            tokio::spawn(collector.run()),
            tokio::spawn(lock::keep_time(store.clone())),
            tokio::spawn(scrub::run(store.clone(), uin, options)),
            tokio::spawn(lifecycle.run()),
            tokio::spawn(accesses.run()),
            tokio::spawn(accounts.clone().keep_uses()),
            tokio::spawn(logs.run()),
            tokio::spawn(inventories.run()),
            tokio::spawn(usage.run()),
            tokio::spawn(events.run()),
            tokio::spawn(tend::run(store.clone())),
            tokio::spawn(bill::close_months(store.clone())),
            tokio::spawn({
                let store = store.clone();
                async move { store.count_all(&counting).await }
            }),
        ])
    }

    async fn stop(self) {
        for task in self.0 {
            task.abort();
            // Ended by the abort, as wanted, or by itself before.
            let _ = task.await;
        }
    }
}

/// A bound endpoint of clients.
struct Socket {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
}

impl Socket {
    fn url(&self) -> String {
        url(if self.tls.is_some() { "https" } else { "http" }, self.address)
    }
}

/// Every endpoint, bound but not yet accepting.
struct Sockets {
    /// `listen`, then `tls_listen` if there is one.
    clients: Vec<Socket>,
    console: TcpListener,
    console_url: String,
    certificate: Option<Arc<Certificate>>,
}

impl Sockets {
    async fn open(config: &Config) -> Result<Self, ServeError> {
        let certificate = match (&config.tls_cert, &config.tls_key) {
            (Some(cert), Some(key)) => Some(Certificate::load(cert, key)?),
            _ => None,
        };
        let tls = certificate.as_ref().map(|certificate| certificate.acceptor()).transpose()?;
        let mut clients = Vec::new();
        let first_tls = if config.tls_listen.is_none() { tls.clone() } else { None };
        let wanted = [(Some(config.listen), first_tls), (config.tls_listen, tls)];
        for (address, tls) in wanted {
            if let Some(address) = address {
                let (listener, address) = bind(address).await?;
                clients.push(Socket { listener, address, tls });
            }
        }
        let (console, address) = bind(config.console_listen).await?;
        Ok(Sockets { clients, console, console_url: url("http", address), certificate })
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// A URL that works on this machine.
fn url(scheme: &str, mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("{scheme}://{address}")
}
