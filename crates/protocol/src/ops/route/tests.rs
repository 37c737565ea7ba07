use http::{HeaderName, HeaderValue};

use super::*;
use crate::ops::Operation;

fn go(
    dialect: Dialect,
    method: &str,
    shape: Shape,
    query: &str,
    headers: &[&'static str],
) -> Result<&'static OpRow, RouteError> {
    let mut map = HeaderMap::new();
    for name in headers {
        map.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
    }
    let query = Query::parse(query).unwrap();
    route(dialect, &method.parse().unwrap(), shape, &query, &map)
}

/// A query string with just what the row demands.
fn demanded(row: &OpRow) -> String {
    let pieces = row.query.iter().map(|param| match param {
        Param::Sub(name) => (*name).to_owned(),
        Param::Key(name) => format!("{name}=1"),
        Param::Is(name, value) => format!("{name}={value}"),
    });
    pieces.collect::<Vec<_>>().join("&")
}

#[test]
fn every_row_is_reached_by_its_own_request() {
    for dialect in Dialect::ALL {
        for row in rows(dialect) {
            let got = go(dialect, row.verb.as_str(), row.shape, &demanded(row), row.headers);
            assert_eq!(got, Ok(row), "{} {}", dialect.name(), row.name);
            // Parameters that mean nothing change nothing; SDKs add `x-id`.
            let more = format!("{}&x-id={}&prefix=a&unknown", demanded(row), row.name);
            let got = go(dialect, row.verb.as_str(), row.shape, &more, row.headers);
            assert_eq!(got, Ok(row), "{} {}", dialect.name(), row.name);
        }
    }
}

#[test]
fn names_are_unique_and_operations_are_all_named() {
    for dialect in Dialect::ALL {
        let mut names = HashSet::new();
        for row in rows(dialect) {
            for name in row.also.iter().chain([&row.name]) {
                assert!(names.insert(*name), "{name} twice");
            }
            let prefix = match dialect {
                Dialect::Cos => "name/cos:",
                Dialect::S3 => "s3",
            };
            assert!(row.action.is_none_or(|action| action.starts_with(prefix)), "{}", row.name);
        }
    }
}

/// The promise at the top of the tables, tried with every reserved key, method
/// and shape: a request that carries one reaches only rows that ask for it. Preflights
/// do nothing, and have the query of whatever they ask for.
#[test]
fn a_reserved_key_never_falls_through_to_the_plain_operation() {
    for dialect in Dialect::ALL {
        for key in RESERVED.iter().chain(&PROCESSING) {
            for verb in Verb::ALL.into_iter().filter(|verb| *verb != Verb::Options) {
                for shape in [Shape::Service, Shape::Bucket, Shape::Object] {
                    for query in [(*key).to_owned(), format!("{key}=&id=1"), format!("x&{key}=y")] {
                        let Ok(row) = go(dialect, verb.as_str(), shape, &query, &[]) else {
                            continue;
                        };
                        let asked = row.query.iter().any(|param| param.name() == *key);
                        assert!(
                            asked || row.permits.contains(key),
                            "{} {} {shape:?} ?{query} reached {}",
                            dialect.name(),
                            verb.as_str(),
                            row.name
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn operations_of_both_dialects() {
    use Shape::{Bucket, Object, Service};
    let both: [(&str, Shape, &str, Operation); 22] = [
        ("GET", Service, "max-keys=2", Operation::ListBuckets),
        ("PUT", Bucket, "", Operation::CreateBucket),
        ("HEAD", Bucket, "", Operation::HeadBucket),
        ("DELETE", Bucket, "", Operation::DeleteBucket),
        ("GET", Bucket, "location=", Operation::GetBucketLocation),
        ("GET", Bucket, "versioning", Operation::GetBucketVersioning),
        ("GET", Bucket, "prefix=a&delimiter=/", Operation::ListObjects),
        ("GET", Bucket, "list-type=1", Operation::ListObjects),
        ("GET", Bucket, "list-type=2&prefix=a", Operation::ListObjectsV2),
        ("PUT", Object, "", Operation::PutObject),
        ("POST", Bucket, "", Operation::PostObject),
        ("GET", Object, "versionId=null", Operation::GetObject),
        ("GET", Object, "partNumber=3", Operation::GetObject),
        ("HEAD", Object, "partNumber=3", Operation::HeadObject),
        ("DELETE", Object, "", Operation::DeleteObject),
        ("POST", Bucket, "delete", Operation::DeleteObjects),
        ("POST", Object, "uploads", Operation::CreateMultipartUpload),
        ("PUT", Object, "uploadId=u&partNumber=1", Operation::UploadPart),
        ("GET", Object, "uploadId=u&max-parts=1", Operation::ListParts),
        ("POST", Object, "uploadId=u", Operation::CompleteMultipartUpload),
        ("DELETE", Object, "uploadId=u", Operation::AbortMultipartUpload),
        ("GET", Bucket, "uploads&prefix=a", Operation::ListMultipartUploads),
    ];
    for dialect in Dialect::ALL {
        for (method, shape, query, operation) in both {
            let row = go(dialect, method, shape, query, &[]).unwrap();
            assert_eq!(row.operation, Some(operation), "{method} {shape:?} {query}");
        }
    }
    let copies = [(Dialect::Cos, "x-cos-copy-source"), (Dialect::S3, "x-amz-copy-source")];
    for (dialect, header) in copies {
        let copy = go(dialect, "PUT", Object, "", &[header]).unwrap();
        assert_eq!(copy.operation, Some(Operation::CopyObject));
        let part = go(dialect, "PUT", Object, "partNumber=1&uploadId=u", &[header]);
        assert_eq!(part.unwrap().operation, Some(Operation::UploadPartCopy));
    }
    let append = go(Dialect::Cos, "POST", Object, "append&position=0", &[]).unwrap();
    assert_eq!(append.operation, Some(Operation::AppendObject));
    let attributes = go(Dialect::S3, "GET", Object, "attributes", &[]).unwrap();
    assert_eq!(attributes.operation, Some(Operation::GetObjectAttributes));
}

#[test]
fn refusals_say_what_is_wrong() {
    use RouteError::{Conflict, MethodNotAllowed, MissingParameter, NotImplemented};
    use Shape::{Bucket, Object, Service};
    let cases = [
        ("PATCH", Object, "", MethodNotAllowed),
        ("POST", Object, "", MethodNotAllowed),
        ("PUT", Service, "", MethodNotAllowed),
        ("POST", Object, "acl", MethodNotAllowed),
        ("GET", Bucket, "delete", MethodNotAllowed),
        ("PUT", Object, "uploads", MethodNotAllowed),
        (
            "PUT",
            Object,
            "partNumber=1",
            MissingParameter { sub: "partNumber", missing: "uploadId" },
        ),
        ("PUT", Object, "uploadId=u", MissingParameter { sub: "uploadId", missing: "partNumber" }),
        ("POST", Object, "select", MissingParameter { sub: "select", missing: "select-type" }),
        ("PUT", Object, "acl&tagging", Conflict("acl", "tagging")),
        ("GET", Object, "uploadId=u&partNumber=1", Conflict("uploadId", "partNumber")),
        ("PUT", Object, "cors", NotImplemented("cors")),
        ("PUT", Object, "symlink", NotImplemented("symlink")),
        ("GET", Object, "imageMogr2/thumbnail/50x", NotImplemented("imageMogr2")),
        ("GET", Shape::Website, "", NotImplemented("website host")),
    ];
    for (method, shape, query, want) in cases {
        let got = go(Dialect::S3, method, shape, query, &[]);
        assert_eq!(got, Err(want), "{method} {shape:?} {query}");
    }
}
