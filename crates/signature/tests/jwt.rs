//! Tokens of identity providers, from the published examples and in every way in which
//! one can be wrong.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use costrel_signature::{KeySet, Token, TokenError};
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding,
};
use serde_json::{Value, json};

/// RFC 7515, A.2: a key with its private part, and what it signed.
const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const RSA_D: &str = "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ";
const RSA_P: &str = "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc";
const RSA_Q: &str = "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc";
const RSA_DP: &str = "BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0";
const RSA_DQ: &str = "h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU";
const RSA_QI: &str = "IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U";
const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const SIGNED_BY_RSA: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

/// RFC 7515, A.3.
const EC_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const EC_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
const SIGNED_BY_EC: &str =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

fn rsa_jwk() -> Value {
    json!({"kty": "RSA", "n": RSA_N, "e": "AQAB", "kid": "rsa"})
}

fn ec_jwk() -> Value {
    json!({"kty": "EC", "crv": "P-256", "x": EC_X, "y": EC_Y, "kid": "ec"})
}

fn keys(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

fn encoded(json: &Value) -> String {
    BASE64.encode(json.to_string())
}

fn judged(token: &str, jwks: &[Value]) -> Result<(), TokenError> {
    Token::parse(token)?.verify(&keys(jwks))
}

/// A token as whoever has the example's private key makes it.
fn by_rsa(how: &'static dyn RsaEncoding, header: &Value) -> String {
    let number = |text: &str| BASE64.decode(text).unwrap();
    let public_key = rsa::PublicKeyComponents { n: number(RSA_N), e: number("AQAB") };
    let (d, p, q) = (number(RSA_D), number(RSA_P), number(RSA_Q));
    let (d_p, d_q, q_inv) = (number(RSA_DP), number(RSA_DQ), number(RSA_QI));
    let components = rsa::KeyPairComponents { public_key, d, p, q, dP: d_p, dQ: d_q, qInv: q_inv };
    let pair = rsa::KeyPair::from_components(&components).unwrap();
    let signed = format!("{}.{PAYLOAD}", encoded(header));
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(how, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    format!("{signed}.{}", BASE64.encode(signature))
}

/// A token by a new key, and the key as its provider publishes it.
fn by_ec(how: &'static EcdsaSigningAlgorithm, curve: &str, alg: &str) -> (String, Value) {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(how, pkcs8.as_ref(), &random).unwrap();
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    let jwk = json!({"kty": "EC", "crv": curve, "x": BASE64.encode(x), "y": BASE64.encode(y)});
    let signed = format!("{}.{PAYLOAD}", encoded(&json!({"alg": alg})));
    let signature = pair.sign(&random, signed.as_bytes()).unwrap();
    (format!("{signed}.{}", BASE64.encode(signature)), jwk)
}

#[test]
fn the_published_examples_are_good() {
    let by_rsa = format!("{}.{PAYLOAD}.{SIGNED_BY_RSA}", "eyJhbGciOiJSUzI1NiJ9");
    let by_ec = format!("{}.{PAYLOAD}.{SIGNED_BY_EC}", "eyJhbGciOiJFUzI1NiJ9");
    let both = [rsa_jwk(), ec_jwk()];
    assert_eq!(judged(&by_rsa, &both), Ok(()));
    assert_eq!(judged(&by_ec, &both), Ok(()));
    assert_eq!(Token::parse(&by_ec).unwrap().claims()["iss"], "joe");
    assert_eq!(judged(&by_rsa, &[ec_jwk()]), Err(TokenError::UnknownKey));
    assert_eq!(judged(&by_ec, &[rsa_jwk()]), Err(TokenError::UnknownKey));
    assert_eq!(judged(&by_ec, &[]), Err(TokenError::UnknownKey));
}

#[test]
fn every_algorithm_goes_with_its_own_keys() {
    for (how, alg) in [(&RSA_PKCS1_SHA256, "RS256"), (&RSA_PKCS1_SHA512, "RS512")]
        as [(&'static dyn RsaEncoding, &str); 2]
    {
        let token = by_rsa(how, &json!({"alg": alg, "kid": "rsa"}));
        assert_eq!(judged(&token, &[ec_jwk(), rsa_jwk()]), Ok(()), "{alg}");
    }
    let (p256, p256_key) = by_ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", "ES256");
    let (p384, p384_key) = by_ec(&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", "ES384");
    let both = [ec_jwk(), p256_key.clone(), p384_key.clone()];
    assert_eq!(judged(&p256, &both), Ok(()));
    assert_eq!(judged(&p384, &both), Ok(()));
    assert_eq!(judged(&p384, &[p256_key]), Err(TokenError::UnknownKey));
    // What one algorithm signed is not good as another one's.
    let as_512 = by_rsa(&RSA_PKCS1_SHA256, &json!({"alg": "RS512"}));
    assert_eq!(judged(&as_512, &[rsa_jwk()]), Err(TokenError::Mismatch));
}

/// The classic: the public key, which everybody has, as a shared secret.
#[test]
fn nothing_but_a_private_key_signs() {
    let signed = |header: Value, signature: &[u8]| {
        format!("{}.{PAYLOAD}.{}", encoded(&header), BASE64.encode(signature))
    };
    let shared = |alg: &str, secret: &[u8]| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        let header = json!({"alg": alg});
        let message = format!("{}.{PAYLOAD}", encoded(&header));
        signed(header, ring::hmac::sign(&key, message.as_bytes()).as_ref())
    };
    let jwks = [rsa_jwk(), ec_jwk(), json!({"kty": "oct", "k": BASE64.encode("secret")})];
    for alg in ["none", "None", "", "HS256", "hs256", "rs256", "PS256", "EdDSA", "ES512"] {
        for secret in [&b"secret"[..], RSA_N.as_bytes(), rsa_jwk().to_string().as_bytes()] {
            assert_eq!(judged(&shared(alg, secret), &jwks), Err(TokenError::Algorithm), "{alg}");
        }
        assert_eq!(judged(&signed(json!({"alg": alg}), b""), &jwks), Err(TokenError::Algorithm));
    }
    assert_eq!(judged(&signed(json!({}), b""), &jwks), Err(TokenError::Algorithm));
    assert_eq!(judged(&signed(json!({"alg": ["RS256"]}), b""), &jwks), Err(TokenError::Algorithm));
    for alg in ["RS256", "ES256"] {
        for signature in [&b""[..], &[0; 64], &[0; 256]] {
            let forged = signed(json!({"alg": alg}), signature);
            assert_eq!(judged(&forged, &jwks), Err(TokenError::Mismatch), "{alg}");
        }
        assert_eq!(judged(&shared(alg, RSA_N.as_bytes()), &jwks), Err(TokenError::Mismatch));
    }
    // A key of the token's own choice is nobody's.
    let (_, own) = by_ec(&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", "ES256");
    let forged = signed(json!({"alg": "ES256", "jwk": own, "jku": "https://a.example"}), b"");
    assert_eq!(judged(&forged, &jwks), Err(TokenError::Mismatch));
}

#[test]
fn what_was_changed_is_refused() {
    let token = by_rsa(&RSA_PKCS1_SHA256, &json!({"alg": "RS256", "kid": "rsa"}));
    let [header, claims, signature]: [&str; 3] =
        token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let other = encoded(&json!({"iss": "joe", "exp": 1_300_819_381}));
    let jwks = [rsa_jwk()];
    let mismatch = Err(TokenError::Mismatch);
    assert_eq!(judged(&format!("{header}.{other}.{signature}"), &jwks), mismatch);
    let renamed = encoded(&json!({"alg": "RS256"}));
    assert_eq!(judged(&format!("{renamed}.{claims}.{signature}"), &jwks), mismatch);
    assert_eq!(judged(&format!("{header}.{claims}.{}", &signature[4..]), &jwks), mismatch);
    for malformed in [
        "",
        ".",
        "..",
        "a.b.c",
        &format!("{header}.{claims}"),
        &format!("{token}.{signature}"),
        &format!("{header}.{claims}.{signature}="),
        &format!("{header}.{claims}.{signature} "),
        &format!("{header}={}.{claims}.{signature}", ""),
        &format!("{}.{claims}.{signature}", BASE64.encode("[]")),
        &format!("{header}.{}.{signature}", BASE64.encode("1")),
        &format!("{}.{claims}.{signature}", encoded(&json!({"alg": "RS256", "kid": 1}))),
        &format!("{}.{claims}.{signature}", encoded(&json!({"alg": "RS256", "crit": ["b64"]}))),
    ] {
        let judged = judged(malformed, &jwks);
        assert!(matches!(judged, Err(TokenError::Malformed(_))), "{malformed}: {judged:?}");
    }
}

#[test]
fn keys_are_for_what_they_say() {
    let token = by_rsa(&RSA_PKCS1_SHA256, &json!({"alg": "RS256", "kid": "rsa"}));
    let with = |name: &str, value: Value| {
        let mut jwk = rsa_jwk();
        jwk[name] = value;
        judged(&token, &[jwk])
    };
    for (name, value) in [
        ("use", json!("sig")),
        ("alg", json!("RS256")),
        ("key_ops", json!(["verify"])),
        // Some providers pad their numbers.
        ("n", json!(BASE64.encode([&[0][..], &BASE64.decode(RSA_N).unwrap()].concat()))),
    ] {
        assert_eq!(with(name, value.clone()), Ok(()), "{name} {value}");
    }
    for (name, value) in [
        ("use", json!("enc")),
        ("alg", json!("RS512")),
        ("alg", json!("RSA-OAEP")),
        ("key_ops", json!(["encrypt"])),
        ("kid", json!("other")),
        ("kty", json!("EC")),
        ("n", json!("?")),
    ] {
        assert_eq!(with(name, value.clone()), Err(TokenError::UnknownKey), "{name} {value}");
    }
    // Shorter ones are broken by now.
    assert_eq!(with("n", json!(&RSA_N[..128])), Err(TokenError::Mismatch));
    let two = [json!({"kty": "RSA", "n": RSA_N, "e": "AQAC", "kid": "rsa"}), rsa_jwk()];
    assert_eq!(judged(&token, &two), Ok(()), "two keys of one name");
    for document in ["", "[]", "{}", r#"{"keys": {}}"#, "null"] {
        assert!(KeySet::parse(document.as_bytes()).is_err(), "{document}");
    }
    assert!(keys(&[]).is_empty());
    assert!(
        keys(&[json!(1), json!({}), json!({"kty": "EC", "crv": "P-256", "x": "AA"})]).is_empty()
    );
}
