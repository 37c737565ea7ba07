//! Opening the engine that the configuration names.

use std::io;
use std::path::Path;
use std::sync::Arc;

use costrel_core::engine::Engine;
use costrel_embedded::{EmbeddedEngine, Options};
use costrel_rados::RadosEngine;

use crate::config::{Config, Durability, EngineKind};

#[derive(Debug, thiserror::Error)]
pub enum EngineOpenError {
    #[error(transparent)]
    Embedded(#[from] costrel_embedded::OpenError),
    #[error(transparent)]
    Rados(#[from] costrel_rados::OpenError),
    #[error("{0} is not a directory")]
    NoData(std::path::PathBuf),
    #[error("{0}")]
    System(#[from] io::Error),
}

/// Opens it for serving. `memory` in bytes is for its caches and buffers.
pub async fn open(config: &Config, memory: u64) -> Result<Arc<dyn Engine>, EngineOpenError> {
    match config.engine {
        EngineKind::Embedded => {
            let options = Options {
                memory_bytes: memory,
                durability: match config.durability {
                    Durability::Full => costrel_embedded::Durability::Sync,
                    Durability::None => costrel_embedded::Durability::None,
                },
                reserve_bytes: config.free_space_reserve.0,
                ..embedded_options(config)
            };
            embedded(options).await
        }
        EngineKind::Rados => rados(config, true).await,
    }
}

/// Opens it for a check, which makes nothing.
pub async fn open_to_check(config: &Config) -> Result<Arc<dyn Engine>, EngineOpenError> {
    match config.engine {
        EngineKind::Embedded if !config.data_dir.is_dir() => {
            Err(EngineOpenError::NoData(config.data_dir.clone()))
        }
        EngineKind::Embedded => embedded(embedded_options(config)).await,
        EngineKind::Rados => rados(config, false).await,
    }
}

fn embedded_options(config: &Config) -> Options {
    let places = config.places.0.iter().map(|(name, dir)| (name.clone(), dir.into())).collect();
    Options { places, ..Options::new(Path::new(&config.data_dir)) }
}

async fn embedded(options: Options) -> Result<Arc<dyn Engine>, EngineOpenError> {
    let opening = tokio::task::spawn_blocking(|| EmbeddedEngine::open(options));
    Ok(opening.await.map_err(io::Error::other)??)
}

async fn rados(config: &Config, make: bool) -> Result<Arc<dyn Engine>, EngineOpenError> {
    let options = costrel_rados::Options {
        namespace: config.rados_namespace.clone(),
        places: config.places.0.clone(),
        make,
        op_timeout: config.rados_op_timeout.0,
        shard_rows_max: config.rados_shard_rows.0.into(),
        reader_grace: config.rados_reader_grace.0,
        pending_age_max: config.rados_pending_age.0,
        ..costrel_rados::Options::new(
            &config.ceph_conf,
            &config.ceph_user,
            &config.rados_meta_pool,
            &config.rados_data_pool,
        )
    };
    Ok(RadosEngine::open(options).await?)
}

/// Where the data are, for people.
pub fn place(config: &Config) -> String {
    match config.engine {
        EngineKind::Embedded => config.data_dir.display().to_string(),
        EngineKind::Rados => format!(
            "pools {} and {} of {}",
            config.rados_meta_pool,
            config.rados_data_pool,
            config.ceph_conf.display()
        ),
    }
}
