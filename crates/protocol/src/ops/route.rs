//! Finding a request's row, and refusing what only looks like one.

use std::collections::HashSet;
use std::sync::LazyLock;

use http::{HeaderMap, Method};

use crate::dialect::Dialect;
use crate::query::Query;

use super::{OpRow, Param, Shape, Verb, rows};

/// Why no operation was found. None of these is ever answered by doing
/// something else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The path or the sub-resource exists, but not with this method.
    #[error("the method is not allowed here")]
    MethodNotAllowed,
    /// The sub-resource needs one more parameter.
    #[error("{sub} needs the parameter {missing}")]
    MissingParameter { sub: &'static str, missing: &'static str },
    /// Two sub-resources that no operation has together.
    #[error("conflicting query parameters: {0}, {1}")]
    Conflict(&'static str, &'static str),
    /// A sub-resource of the other dialect or of another kind of path, a
    /// service that runs on other hosts, or on-the-fly processing.
    #[error("{0} is not implemented")]
    NotImplemented(&'static str),
}

/// Reserved keys that no row has: settings of the real services that their API
/// documents do not list as operations.
const RESERVED_BESIDES: [&str; 3] = ["ci-process", "fetch", "quota"];

/// COS processes objects on the fly when asked by keys such as
/// `imageMogr2/thumbnail/50x`. The plain object would be a wrong answer.
const PROCESSING: [&str; 6] =
    ["imageAve", "imageInfo", "imageMogr2", "imageView2", "exif", "watermark"];

/// Selecting keys of both dialects: a key that means something in the other one
/// is refused too, since its sender did not mean the plain operation.
static RESERVED: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    Dialect::ALL
        .into_iter()
        .flat_map(rows)
        .flat_map(|row| row.query)
        .filter_map(|param| match param {
            Param::Sub(name) => Some(*name),
            Param::Key(_) | Param::Is(..) => None,
        })
        .chain(RESERVED_BESIDES)
        .collect()
});

/// A dialect's rows by verb and shape, the most demanding first.
struct Router(Vec<(Verb, Shape, Vec<&'static OpRow>)>);

impl Router {
    fn new(dialect: Dialect) -> Router {
        let mut groups: Vec<(Verb, Shape, Vec<&'static OpRow>)> = Vec::new();
        for row in rows(dialect) {
            match groups
                .iter_mut()
                .find(|(verb, shape, _)| (*verb, *shape) == (row.verb, row.shape))
            {
                Some((_, _, group)) => group.push(row),
                None => groups.push((row.verb, row.shape, vec![row])),
            }
        }
        for (_, _, group) in &mut groups {
            // What the query asks for counts before any header.
            group.sort_by_key(|row| std::cmp::Reverse((row.query.len(), row.headers.len())));
        }
        Router(groups)
    }

    fn group(&self, verb: Verb, shape: Shape) -> &[&'static OpRow] {
        self.0
            .iter()
            .find(|(v, s, _)| (*v, *s) == (verb, shape))
            .map_or(&[], |(_, _, group)| group.as_slice())
    }
}

static COS: LazyLock<Router> = LazyLock::new(|| Router::new(Dialect::Cos));
static S3: LazyLock<Router> = LazyLock::new(|| Router::new(Dialect::S3));

/// Finds the operation of a request: the row that demands most of those whose
/// demands are all met, provided that no reserved key is left over.
pub fn route(
    dialect: Dialect,
    method: &Method,
    shape: Shape,
    query: &Query<'_>,
    headers: &HeaderMap,
) -> Result<&'static OpRow, RouteError> {
    if matches!(shape, Shape::Website | Shape::UnknownJobPath) {
        return Err(RouteError::NotImplemented(shape.pattern()));
    }
    let verb = Verb::of(method).ok_or(RouteError::MethodNotAllowed)?;
    let router = match dialect {
        Dialect::Cos => &*COS,
        Dialect::S3 => &*S3,
    };
    // A preflight has the query of the request that it asks for.
    if verb == Verb::Options {
        let row = router.group(verb, shape).first();
        return row.copied().ok_or(RouteError::MethodNotAllowed);
    }
    let row = router.group(verb, shape).iter().copied().find(|row| matches(row, query, headers));
    match (unclaimed(row, query), row) {
        (None, Some(row)) => Ok(row),
        (None, None) => Err(RouteError::MethodNotAllowed),
        (Some(key), row) => Err(explain(router, row, verb, shape, key, query)),
    }
}

fn matches(row: &OpRow, query: &Query<'_>, headers: &HeaderMap) -> bool {
    row.query.iter().all(|param| present(*param, query))
        && row.headers.iter().all(|name| headers.contains_key(*name))
}

fn present(param: Param, query: &Query<'_>) -> bool {
    match param {
        Param::Sub(name) | Param::Key(name) => query.has(name),
        Param::Is(name, value) => query.get(name) == Some(value),
    }
}

/// The first reserved key of the query that the row does not ask for or permit.
fn unclaimed(row: Option<&OpRow>, query: &Query<'_>) -> Option<&'static str> {
    let (claimed, permitted) = row.map_or((&[][..], &[][..]), |row| (row.query, row.permits));
    query
        .iter()
        .filter_map(|(name, _)| reserved(name))
        .find(|key| !claimed.iter().any(|param| param.name() == *key) && !permitted.contains(key))
}

fn reserved(name: &str) -> Option<&'static str> {
    if let Some(key) = RESERVED.get(name) {
        return Some(key);
    }
    let front = name.split_once('/').map_or(name, |(front, _)| front);
    PROCESSING.into_iter().find(|key| *key == front)
}

/// What is wrong with a request whose reserved key no row takes.
fn explain(
    router: &Router,
    row: Option<&OpRow>,
    verb: Verb,
    shape: Shape,
    key: &'static str,
    query: &Query<'_>,
) -> RouteError {
    let asks = |row: &OpRow| row.query.contains(&Param::Sub(key));
    let claimed = row.into_iter().flat_map(|row| row.query).find_map(|param| match param {
        Param::Sub(name) => Some(*name),
        Param::Key(_) | Param::Is(..) => None,
    });
    if let Some(other) = claimed {
        return RouteError::Conflict(other, key);
    }
    let missing = router
        .group(verb, shape)
        .iter()
        .filter(|row| asks(row))
        .find_map(|row| row.query.iter().find(|param| !present(**param, query)));
    if let Some(missing) = missing {
        return RouteError::MissingParameter { sub: key, missing: missing.name() };
    }
    let elsewhere =
        Verb::ALL.into_iter().any(|verb| router.group(verb, shape).iter().any(|row| asks(row)));
    if elsewhere { RouteError::MethodNotAllowed } else { RouteError::NotImplemented(key) }
}

#[cfg(test)]
mod tests;
