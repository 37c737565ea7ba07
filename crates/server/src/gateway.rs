//! The protocol as a handler of connections, set up from the configuration.

use std::net::SocketAddr;
use std::sync::Arc;

use costrel_core::Store;
use costrel_core::account::Accounts;
use costrel_protocol::address::Domains;
use costrel_protocol::{
    BodyLimits, ConnectionInfo, Gateway, GatewayOptions, Observer, ResponseBody, TlsVersion,
    dialect,
};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::config::{Config, Dialect, Purpose};
use crate::fetch::Fetcher;
use crate::listen::Handler;

pub fn build(
    config: &Config,
    store: Arc<Store>,
    accounts: Arc<Accounts>,
    observer: Arc<dyn Observer>,
) -> Arc<Gateway> {
    let mut domains = Vec::new();
    let mut websites = Vec::new();
    for domain in config.domains.0.iter().cloned() {
        match domain.purpose {
            Purpose::Rest(dialect) => domains.push((domain.name, dialect.map(spoken))),
            Purpose::Website(bucket) => websites.push((domain.name, bucket)),
        }
    }
    let domains = websites
        .into_iter()
        .fold(Domains::new(domains), |all, (name, bucket)| all.with_website(&name, bucket));
    let options = GatewayOptions {
        domains,
        default_dialect: spoken(config.default_dialect),
        body_limits: BodyLimits {
            idle: config.idle_timeout.0,
            bytes_per_second_min: config.body_rate_min.0,
        },
        documents: Arc::new(Fetcher::new(env!("CARGO_PKG_VERSION"))),
        internal_networks: config.internal_networks.0.clone(),
    };
    Gateway::new(store, accounts, options, observer)
}

fn spoken(dialect: Dialect) -> dialect::Dialect {
    match dialect {
        Dialect::Cos => dialect::Dialect::Cos,
        Dialect::S3 => dialect::Dialect::S3,
    }
}

impl Handler for Gateway {
    type Body = ResponseBody;
    type Connection = ConnectionInfo;

    fn connection(peer: SocketAddr, tls: Option<TlsVersion>) -> ConnectionInfo {
        ConnectionInfo { peer, tls }
    }

    async fn handle(
        self: &Arc<Self>,
        request: Request<Incoming>,
        connection: &ConnectionInfo,
    ) -> Response<ResponseBody> {
        Gateway::handle(self, request, connection).await
    }

    async fn refuse(
        self: &Arc<Self>,
        status: StatusCode,
        request: Request<Incoming>,
        connection: &ConnectionInfo,
    ) -> Response<ResponseBody> {
        self.refuse_head(status, request, connection).await
    }
}
