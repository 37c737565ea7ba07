//! The server under test, as the command line names it.

use std::env;
use std::net::SocketAddr;
use std::time::Duration;

use crate::endpoint::{Addressing, Endpoint, Place};
use crate::error::BenchError;
use crate::meter::ServerMeter;
use crate::sign::{Credentials, Dialect};
use crate::units::parse_duration;

/// How a body is covered by the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PayloadSigning {
    /// The body is not signed (S3: `UNSIGNED-PAYLOAD`; COS never signs bodies).
    Unsigned,
    /// S3: the SHA-256 of the body is signed, and the server must compute it.
    Signed,
}

/// Options that name a server and how to talk to it.
#[derive(Clone, Debug, clap::Args)]
pub struct TargetArgs {
    /// Where the server listens; http:// only
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9000")]
    pub endpoint: String,

    /// Bucket to work in, by its full name (COS: name-appid)
    #[arg(long, default_value = "bench-1250000000")]
    pub bucket: String,

    /// Create the bucket first if it does not exist
    #[arg(long)]
    pub create_bucket: bool,

    /// SecretId or access key id; AWS_ACCESS_KEY_ID is read as well
    #[arg(long, env = "COSTREL_ROOT_SECRET_ID", value_name = "ID")]
    pub access_key: Option<String>,

    /// SecretKey or secret access key; AWS_SECRET_ACCESS_KEY is read as well
    #[arg(long, env = "COSTREL_ROOT_SECRET_KEY", value_name = "SECRET", hide_env_values = true)]
    pub secret_key: Option<String>,

    /// Region in S3 signatures
    #[arg(long, env = "COSTREL_REGION", default_value = "us-east-1")]
    pub region: String,

    /// Whose requests to send
    #[arg(long, value_enum, default_value = "s3")]
    pub dialect: Dialect,

    /// Where the bucket's name stands
    #[arg(long, value_enum, default_value = "path")]
    pub addressing: Addressing,

    /// Name of the service in `Host`, if it is not the endpoint's
    #[arg(long, value_name = "NAME")]
    pub domain: Option<String>,

    /// How bodies are covered by signatures
    #[arg(long, value_enum, default_value = "unsigned")]
    pub payload: PayloadSigning,

    /// Send Content-MD5 with every body
    #[arg(long)]
    pub content_md5: bool,

    /// Acknowledge every packet at once (TCP_QUICKACK), which hides the 40 ms
    /// stalls of servers that send an answer in several small writes
    #[arg(long, verbatim_doc_comment)]
    pub quick_ack: bool,

    /// Longest time an operation may take
    #[arg(long, value_parser = parse_duration, default_value = "60s")]
    pub timeout: Duration,

    /// Server processes to read CPU time and memory from, with their children
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pub server_pid: Vec<u32>,

    /// Prometheus page to read the server's CPU time from, e.g. http://127.0.0.1:9001/metrics
    #[arg(long, value_name = "URL", conflicts_with = "server_pid")]
    pub server_metrics: Option<String>,
}

/// A server that requests can be sent to.
#[derive(Clone)]
pub struct Target {
    pub name: String,
    pub address: SocketAddr,
    pub place: Place,
    pub create_bucket: bool,
    pub credentials: Credentials,
    pub region: String,
    pub dialect: Dialect,
    pub payload: PayloadSigning,
    pub content_md5: bool,
    pub quick_ack: bool,
    pub timeout: Duration,
    pub meter: ServerMeter,
}

impl TargetArgs {
    pub fn resolve(&self, name: &str) -> Result<Target, BenchError> {
        let endpoint: Endpoint = self.endpoint.parse()?;
        let credential = |given: &Option<String>, setting, variable| {
            given.clone().or_else(|| env::var(variable).ok()).ok_or_else(|| {
                BenchError::setting(setting, format!("needed to sign requests; or set {variable}"))
            })
        };
        if self.dialect == Dialect::Cos && self.payload == PayloadSigning::Signed {
            return Err(BenchError::setting("payload", "COS signatures do not cover bodies"));
        }
        Ok(Target {
            name: name.to_owned(),
            address: endpoint.resolve()?,
            place: Place::new(&endpoint, self.domain.as_deref(), &self.bucket, self.addressing),
            create_bucket: self.create_bucket,
            credentials: Credentials {
                id: credential(&self.access_key, "access-key", "AWS_ACCESS_KEY_ID")?,
                secret: credential(&self.secret_key, "secret-key", "AWS_SECRET_ACCESS_KEY")?,
            },
            region: self.region.clone(),
            dialect: self.dialect,
            payload: self.payload,
            content_md5: self.content_md5,
            quick_ack: self.quick_ack,
            timeout: self.timeout,
            meter: ServerMeter {
                pids: self.server_pid.clone(),
                metrics_url: self.server_metrics.clone(),
            },
        })
    }

    /// These options with some replaced by `key=value,key=value…`, for a suite
    /// over several servers. Returns the server's name as well.
    pub fn with_overrides(&self, spec: &str) -> Result<(String, TargetArgs), BenchError> {
        let wrong = |problem: String| BenchError::setting("target", format!("{spec:?}: {problem}"));
        let mut args = self.clone();
        let mut name = None;
        for pair in spec.split(',') {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| wrong(format!("{pair:?} is not key=value")))?;
            let text = value.to_owned();
            let choice = |_: String| wrong(format!("{key} cannot be {value:?}"));
            match key {
                "name" => name = Some(text),
                "endpoint" => args.endpoint = text,
                "bucket" => args.bucket = text,
                "create-bucket" => {
                    args.create_bucket = value.parse().map_err(|_| choice(String::new()))?;
                }
                "access-key" => args.access_key = Some(text),
                "secret-key" => args.secret_key = Some(text),
                "region" => args.region = text,
                "dialect" => {
                    args.dialect = clap::ValueEnum::from_str(value, true).map_err(choice)?;
                }
                "addressing" => {
                    args.addressing = clap::ValueEnum::from_str(value, true).map_err(choice)?;
                }
                "domain" => args.domain = Some(text),
                // Several processes are joined by a plus, since the comma is taken.
                "pid" => {
                    let pids: Result<Vec<u32>, _> = value.split('+').map(str::parse).collect();
                    args.server_pid = pids.map_err(|_| choice(String::new()))?;
                    args.server_metrics = None;
                }
                "metrics" => {
                    args.server_metrics = Some(text);
                    args.server_pid = Vec::new();
                }
                _ => return Err(wrong(format!("unknown key {key:?}"))),
            }
        }
        Ok((name.ok_or_else(|| wrong("no name=".to_owned()))?, args))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        target: TargetArgs,
    }

    fn args(extra: &[&str]) -> TargetArgs {
        let common = ["bench", "--access-key", "id", "--secret-key", "secret"];
        Cli::try_parse_from(common.iter().chain(extra)).expect("valid options").target
    }

    #[test]
    fn overrides_change_only_what_they_name() {
        let base = args(&["--region", "r1", "--server-metrics", "http://127.0.0.1:9001/metrics"]);
        let (name, changed) = base
            .with_overrides("name=nginx,endpoint=http://127.0.0.1:8080,pid=1+2,dialect=cos")
            .expect("well-formed");
        assert_eq!(name, "nginx");
        assert_eq!(changed.endpoint, "http://127.0.0.1:8080");
        assert_eq!(changed.server_pid, [1, 2]);
        assert_eq!(changed.server_metrics, None);
        assert_eq!(changed.dialect, Dialect::Cos);
        assert_eq!(changed.region, "r1");
        for spec in ["endpoint=http://a", "name", "name=a,colour=red", "name=a,pid=x"] {
            assert!(base.with_overrides(spec).is_err(), "{spec}");
        }
    }

    #[test]
    fn a_cos_payload_cannot_be_signed() {
        assert!(args(&["--dialect", "cos", "--payload", "signed"]).resolve("x").is_err());
        assert!(args(&["--dialect", "cos"]).resolve("x").is_ok());
    }
}
