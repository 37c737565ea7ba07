//! SigV4 of AWS's other services: the example of the AWS General Reference, and what the
//! body has to do with it.

mod support;

use costrel_signature::{Secret, V4Presented, Verifier, VerifyError};
use support::Wire;

const SK: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const NOW: i64 = 1_440_938_160;
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn verify(service: &'static str, secret: &str, body_sha256: &str) -> Result<(), VerifyError> {
    let wire = Wire::new("GET", "iam.amazonaws.com", "/?Action=ListUsers&Version=2010-05-08")
        .header("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
        .header("X-Amz-Date", "20150830T123600Z")
        .header(
            "Authorization",
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        );
    wire.view(|view| {
        let presented = V4Presented::of_service(view, body_sha256).unwrap();
        assert_eq!(presented.access_key_id, "AKIDEXAMPLE");
        Verifier::default().verify_service(service, &presented, view, &Secret::new(secret), NOW)
    })
}

#[test]
fn the_reference_lists_users() {
    assert_eq!(verify("iam", SK, EMPTY), Ok(()));
}

#[test]
fn whatever_else_is_refused() {
    let another = EMPTY.replace('e', "f");
    assert!(matches!(verify("iam", SK, &another), Err(VerifyError::Mismatch(_))));
    assert!(matches!(verify("iam", "another", EMPTY), Err(VerifyError::Mismatch(_))));
    assert!(matches!(verify("sts", SK, EMPTY), Err(VerifyError::WrongService { .. })));
}
