//! Every setting, defined once: its name in the file, its flag, its type, its
//! default and its page in the manual all come from here.

use std::net::SocketAddr;
use std::path::PathBuf;

use costrel_core::account::{AppId, Uin};

use super::targets::Events;
use super::values::{
    ByteSize, ClassTiers, Dialect, Domains, Durability, EngineKind, LogFormat, LogLevel, Networks,
    Number, Places, Region, Span,
};

/// A setting as the manual and the suggestions see it.
#[derive(Debug)]
pub struct Key {
    pub section: &'static str,
    pub name: &'static str,
    /// Markdown; says the unit where there is one.
    pub doc: &'static str,
    pub default: Option<&'static str>,
    pub env: Option<&'static str>,
}

/// Defines [`Given`], [`Config`] and [`KEYS`]. A setting with a default has it as
/// the text one would write; one without is optional.
macro_rules! settings {
    ($( $section:literal { $(
        $(#[doc = $doc:literal])+
        $(#[env = $env:literal])?
        $name:ident: $type:ty $(= $default:literal)?;
    )+ } )+) => {
        /// Settings as far as the command line or the file gives them.
        #[derive(Clone, Debug, Default, clap::Args, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Given { $($(
            #[arg(
                long,
                help = concat!($($doc),+ $(, " [default: ", $default, "]")?),
                help_heading = $section
                $(, env = $env)?
            )]
            #[serde(default, deserialize_with = "some_text")]
            pub $name: Option<$type>,
        )+)+
            /// The table `events`, which only a file can have.
            #[arg(skip)]
            #[serde(default)]
            pub events: Events,
        }

        /// Settings in force.
        #[derive(Clone, Debug)]
        pub struct Config { $($(
            $(#[doc = $doc])+
            pub $name: settings!(@type $type $(, $default)?),
        )+)+
            pub events: Events,
        }

        impl Given {
            /// What is given here, else what is given there, else the defaults.
            pub fn or(self, fallback: Given) -> Config {
                Config { $($(
                    $name: settings!(@value self, fallback, $name $(, $default)?),
                )+)+
                    events: fallback.events,
                }
            }
        }

        pub const KEYS: &[Key] = &[$($(
            Key {
                section: $section,
                name: stringify!($name),
                doc: concat!($($doc),+),
                default: settings!(@option $($default)?),
                env: settings!(@option $($env)?),
            },
        )+)+];
    };
    (@type $type:ty) => { Option<$type> };
    (@type $type:ty, $default:literal) => { $type };
    (@value $given:ident, $fallback:ident, $name:ident) => { $given.$name.or($fallback.$name) };
    (@value $given:ident, $fallback:ident, $name:ident, $default:literal) => {
        $given.$name.or($fallback.$name).unwrap_or_else(|| {
            $default.parse().expect("defaults are values of their settings")
        })
    };
    (@option) => { None };
    (@option $text:literal) => { Some($text) };
}

settings! {
    "Data" {
        /// `embedded`: everything is in the data directory. `rados`: on a Ceph
        /// cluster, which any number of gateways share.
        engine: EngineKind = "embedded";
        /// Directory that holds everything the server keeps. Made if missing.
        data_dir: PathBuf = "./costrel-data";
        /// Memory for caches, buffers and bodies on their way, in bytes. The
        /// process needs about 40 MiB besides.
        memory: ByteSize = "224MiB";
        /// `full`: a write is acknowledged when it is on stable storage. `none`:
        /// nothing is synced, and a crash of the machine loses acknowledged
        /// writes; for throw-away test servers.
        durability: Durability = "full";
        /// Free space, in bytes, below which the file system counts as full.
        free_space_reserve: ByteSize = "256MiB";
        /// Rate at which stored bodies are read again and compared with their
        /// checksums in the background, in bytes per second; 0 for never.
        scrub_rate: ByteSize = "8MiB";
    }
    "Storage classes" {
        /// Other places for bodies than `data_dir` or `rados_data_pool`: a name and a
        /// directory (a pool with the `rados` engine) each, as `cold=/srv/cold`, separated
        /// by commas. A directory is made if missing and remembered: once used, it has to
        /// be given at every start.
        places: Places = "";
        /// Where the bodies of storage classes are kept, and how: a class and a tier each,
        /// separated by commas. A tier is a name from `places`, or `main`, and a codec
        /// behind a colon: `none` (which may be left out), `zstd`, or `zstd-1` to `zstd-19`.
        /// `ARCHIVE=cold:zstd-9` is one. It counts for what is written from then on; what is
        /// there stays as it is. `ARCHIVE` is kept with `zstd-3` and `DEEP_ARCHIVE` with
        /// `zstd-9` if not given, all in `main`; `docs/operate/storage-classes.md` says
        /// which class stands in for which.
        tiers: ClassTiers = "";
        /// Time that restoring an archived object takes when the client asks for
        /// `Expedited`. Nothing has to thaw, so this is only for those who want to see
        /// what their programs do meanwhile.
        restore_expedited: Span = "0s";
        /// The same for `Standard`.
        restore_standard: Span = "0s";
        /// The same for `Bulk`.
        restore_bulk: Span = "0s";
    }
    "Lifecycle" {
        /// Rows (objects, versions, markers, uploads) that lifecycle rules are
        /// compared with in a second, at most.
        lifecycle_scan_rate: Number = "20000";
        /// Objects, versions, markers and uploads that lifecycle rules end in a
        /// second, at most.
        lifecycle_end_rate: Number = "1000";
        /// Bytes of objects and versions that lifecycle rules move to another storage
        /// class in a second, at most.
        lifecycle_move_rate: ByteSize = "64MiB";
        /// Seconds that a day is taken to have wherever something is counted in
        /// days. For tests, which cannot wait.
        #[env = "COSTREL_DAY_SECONDS"]
        day_seconds: Number = "86400";
    }
    "Access logs" {
        /// Seconds between two deliveries of buckets' access logs.
        #[env = "COSTREL_LOG_DELIVERY_SECONDS"]
        log_delivery_seconds: Number = "300";
    }
    "Usage" {
        /// Networks that are the installation's own, as `10.0.0.0/8`, separated by commas:
        /// figures and bills tell the traffic of clients there from the internet's.
        /// `private` stands for the addresses that are routed nowhere else: loopback,
        /// link-local, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 and fc00::/7.
        internal_networks: Networks = "private";
        /// Seconds between two looks at what buckets hold, for series and bills.
        #[env = "COSTREL_USAGE_SECONDS"]
        usage_seconds: Number = "300";
    }
    "Events" {
        /// How long an event waits for a target that does not take it. Older ones are lost.
        events_max_age: Span = "72h";
        /// Messages to one target that are under way at once. Those of one key never are.
        events_at_once: Number = "16";
    }
    "Bills" {
        /// TOML file with the prices that bills are made with. Without it they are made
        /// with example prices, which `costrel bill prices` prints; their name is shown
        /// with each bill. `docs/operate/bills.md` says what is in the file.
        price_book: PathBuf;
    }
    "Ceph" {
        /// Ceph's own configuration: it says where the monitors are and where the
        /// key of `ceph_user` is.
        ceph_conf: PathBuf = "/etc/ceph/ceph.conf";
        /// Ceph user of this gateway.
        ceph_user: String = "client.costrel";
        /// Replicated pool for rows and small bodies.
        rados_meta_pool: String = "costrel-meta";
        /// Pool for larger bodies, replicated or erasure-coded.
        rados_data_pool: String = "costrel-data";
        /// Namespace in both pools. Installations with different ones share pools.
        rados_namespace: String = "";
        /// Time for one operation on the cluster. Shorter than the cluster's
        /// failover (about 25 seconds when a disk hangs), requests fail with 503
        /// that would only have waited.
        rados_op_timeout: Span = "30s";
        /// Rows that one object of a bucket's index holds before it is split, about
        /// as many as objects. Ceph warns from 200000.
        rados_shard_rows: Number = "100000";
        /// How long a body that was overwritten or deleted can still be read by
        /// requests that began before.
        rados_reader_grace: Span = "1h";
        /// Age at which an upload of a gateway that is gone counts as abandoned.
        /// Longer than any upload of one body takes.
        rados_pending_age: Span = "24h";
    }
    "Endpoints" {
        /// Address of the COS and S3 endpoint. Port 0 takes a free one.
        listen: SocketAddr = "127.0.0.1:9000";
        /// Address of `/healthz`, `/readyz` and `/metrics`, and of what the operator's
        /// commands ask.
        console_listen: SocketAddr = "127.0.0.1:9001";
        /// Address of a second COS and S3 endpoint with TLS. Without it, a
        /// certificate makes `listen` speak TLS.
        tls_listen: SocketAddr;
        /// PEM file with the certificate chain, the server's first. Read again
        /// when it changes and on SIGHUP.
        tls_cert: PathBuf;
        /// PEM file with the certificate's private key.
        tls_key: PathBuf;
        /// Region of this installation.
        #[env = "COSTREL_REGION"]
        region: Region = "ap-guangzhou";
        /// Domains under which the server is reached, separated by commas. Buckets
        /// are then names below them too. `cos:` or `s3:` before a domain sets its
        /// dialect. `website:` before one has the names below it stand for the
        /// websites of those buckets; `website:DOMAIN=BUCKET` is the website of one.
        domains: Domains = "";
        /// `cos` or `s3`: what is answered to requests that show neither by
        /// signature, host or headers.
        default_dialect: Dialect = "s3";
    }
    "Identity" {
        /// APPID of the account, decimal. Made up at the first start if not given;
        /// later starts keep it and refuse another.
        #[env = "COSTREL_APPID"]
        appid: AppId;
        /// Uin of the account's owner, 12 digits. As with `appid`.
        #[env = "COSTREL_OWNER_UIN"]
        owner_uin: Uin;
        /// File with the id of the root key; the environment variable
        /// `COSTREL_ROOT_SECRET_ID` holds the id itself. A root key given so
        /// replaces the stored one.
        root_secret_id_file: PathBuf;
        /// File with the secret of the root key; the environment variable
        /// `COSTREL_ROOT_SECRET_KEY` holds the secret itself.
        root_secret_key_file: PathBuf;
        /// File with the master key that seals secrets at rest, 64 hexadecimal
        /// digits; the environment variable `COSTREL_MASTER_KEY` holds the digits
        /// themselves. Without both, `master.key` in the data directory, made at
        /// the first start; with the `rados` engine one of them is needed, the same
        /// on every gateway.
        master_key_file: PathBuf;
    }
    "Limits" {
        /// Connections served at once; more wait to be accepted.
        max_connections: Number = "4096";
        /// Bytes of a request's line and headers; also the size to which a
        /// connection's buffers grow.
        header_size: ByteSize = "64KiB";
        /// Number of a request's header fields.
        header_count: Number = "256";
        /// Time for a request's headers to arrive, counted from the end of the
        /// request before: how long an idle connection is kept, too.
        header_timeout: Span = "60s";
        /// Time without a byte of a request's body, or without the client taking a
        /// byte of the answer, after which the connection is given up.
        idle_timeout: Span = "60s";
        /// Least mean rate of a request's body, in bytes per second, judged after
        /// `idle_timeout`; 0 for any.
        body_rate_min: ByteSize = "1KiB";
        /// Time for running requests to finish at SIGTERM or SIGINT. A second
        /// signal ends it.
        drain_timeout: Span = "25s";
    }
    "Logs" {
        /// `text` or `json`, to the standard error stream.
        log_format: LogFormat = "text";
        /// `error`, `warn`, `info`, `debug` or `trace`. Requests are logged at
        /// `info`.
        log_level: LogLevel = "info";
        /// File with a line in JSON for every request that was refused or that administers
        /// something; `off` for none. If not given, `audit.log` in the data directory, and
        /// none with the `rados` engine, which has no such place.
        /// `docs/operate/identity.md` says what is in it.
        audit_log: PathBuf;
        /// Size, in bytes, at which that file is put aside and a new one begun.
        audit_log_size: ByteSize = "64MiB";
        /// Files that are kept when they have been put aside, as `audit.log.1` and so on;
        /// the oldest is removed.
        audit_log_files: Number = "4";
    }
}

/// Reads any setting from TOML through its text form.
fn some_text<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
    D: serde::Deserializer<'de>,
{
    let text = super::values::text_of(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}
